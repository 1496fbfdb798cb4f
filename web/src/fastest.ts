/** Which way of computing a network is fastest is found by trying, on the device itself. */

import { DEFAULT_THREADS, type Wanted } from './backend';
import { PocketpressError } from './errors';
import { median } from './median';
import { gpuAdapter, hasThreads } from './probe';
import { open, type OpenOptions, type RuntimeInfo, type Session } from './session';
import { elements, type TensorSpec } from './signature';
import { fetchArtifact, type Source } from './source';
import { allocate, type TypedArray } from './tensors';
import { time, type TimingPlan } from './time';

const PLAN: TimingPlan = { warmup: 10, block: 2, minRounds: 3, maxRounds: 20, budgetS: 3 };
/** Largest error of a float result, by its norm over the reference's; float32 on a GPU is at a thousandth of it. */
const MAX_ERROR = 0.01;

export interface FastestOptions extends Omit<OpenOptions, 'backend' | 'threads' | 'runtime' | 'sha256'> {
  readonly plan?: Partial<TimingPlan>;
}

/** One way that was tried: its median, or why it is out of the question. */
export interface Tried {
  /** Which of the sources. */
  readonly source: number;
  readonly wanted: Wanted;
  readonly runtime: RuntimeInfo | null;
  readonly medianS: number | null;
  readonly reason: string | null;
}

export interface Fastest {
  readonly session: Session;
  readonly tried: readonly Tried[];
}

/**
 * Open artifacts of one network in every way that this browser has, time them against each other, and keep the fastest.
 *
 * Tried are one thread, several threads and WebGPU, for each source; a way that fails, or whose results are not those of
 * the source's first way, is left out and says why.  The first way is one thread of WebAssembly.
 *
 * @param sources of one network: a `.tflite` and an `.onnx` file, say.
 * @throws PocketpressError: the first error, when nothing works; the reason of `signal`.
 */
export async function openFastest(
  sources: readonly Source[],
  { plan, ...options }: FastestOptions = {},
): Promise<Fastest> {
  const ways = await waysHere();
  const found: Candidate[] = [];
  try {
    for (const [source, given] of sources.entries()) {
      let reference: TypedArray[] | null = null;
      const bytes = fetchArtifact(given, options.signal); // once, however many ways there are
      for (const wanted of ways) {
        const [way, results] = await tryOne(source, bytes, wanted, reference, options);
        found.push(way);
        reference ??= results;
      }
    }
    return await fastestOf(found, { ...PLAN, ...plan }, options.signal);
  } catch (error) {
    await Promise.all(found.map(({ session }) => session?.close()));
    throw error;
  }
}

/** Open one way and run it once; a way that is out of the question is closed. */
async function tryOne(
  source: number,
  bytes: Promise<Uint8Array<ArrayBuffer>>,
  wanted: Wanted,
  reference: TypedArray[] | null,
  options: OpenOptions,
): Promise<[Candidate, TypedArray[] | null]> {
  let session: Session | null = null;
  try {
    session = await open(await bytes, { ...options, ...wanted });
    const results = await session.runRaw(feedsFor(session.signature.inputs), { signal: options.signal });
    if (reference !== null && !agree(results, reference)) {
      throw new PocketpressError('device', 'this way computes something else');
    }
    return [{ source, wanted, session, runtime: session.runtime, error: null }, results];
  } catch (error) {
    await session?.close();
    options.signal?.throwIfAborted();
    if (!(error instanceof PocketpressError)) throw error;
    return [{ source, wanted, session: null, runtime: session?.runtime ?? null, error }, null];
  }
}

interface Candidate {
  readonly source: number;
  readonly wanted: Wanted;
  readonly session: Session | null;
  readonly runtime: RuntimeInfo | null;
  readonly error: PocketpressError | null;
}

async function fastestOf(
  found: readonly Candidate[],
  plan: TimingPlan,
  signal: AbortSignal | undefined,
): Promise<Fastest> {
  const running = found.flatMap(({ session }) => (session === null ? [] : [session]));
  if (running.length === 0)
    throw found[0]?.error ?? new PocketpressError('artifact', 'no artifact was given');
  const pairs = running.map((session) => [session, feedsFor(session.signature.inputs)] as const);
  const { seconds } = await time(pairs, plan, { signal });
  const medians = new Map(running.map((session, i) => [session, median((seconds[i] ?? []).flat())]));
  const [best] = [...medians].reduce((a, b) => (b[1] < a[1] ? b : a));
  await Promise.all(running.filter((session) => session !== best).map((session) => session.close()));
  const tried = found.map(({ source, wanted, session, runtime, error }): Tried => {
    const medianS = session === null ? null : (medians.get(session) ?? null);
    return { source, wanted, runtime, medianS, reason: error === null ? null : error.message };
  });
  return { session: best, tried };
}

/** WebGPU is tried for every network here: measured, it cannot do harm. */
async function waysHere(): Promise<Wanted[]> {
  const ways: Wanted[] = [{ backend: 'wasm', threads: 1 }];
  const threads = Math.min(DEFAULT_THREADS, navigator.hardwareConcurrency || 1);
  if (hasThreads() && threads > 1) ways.push({ backend: 'wasm', threads });
  if ((await gpuAdapter())?.fallback === false) ways.push({ backend: 'webgpu' });
  return ways;
}

/** Numbers that look random and are the same every time; rows of tables stay in range. */
export function feedsFor(specs: readonly TensorSpec[]): TypedArray[] {
  return specs.map(({ dtype, shape, rows }) => {
    const feed = allocate(dtype, elements(shape));
    let state = 1;
    for (let i = 0; i < feed.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      const share = state / 2 ** 32;
      if (dtype === 'float32') feed[i] = 2 * share - 1;
      else if (dtype === 'int64') feed[i] = BigInt(Math.floor(share * (rows ?? 2)));
      else feed[i] = Math.floor(share * (rows ?? (dtype === 'bool' ? 2 : 128)));
    }
    return feed;
  });
}

/** Whether the error is small against the reference, output by output. */
export function agree(results: readonly TypedArray[], reference: readonly TypedArray[]): boolean {
  return reference.every((wanted, output) => {
    const got = results[output];
    if (got?.length !== wanted.length) return false;
    let error = 0;
    let norm = 0;
    for (let i = 0; i < wanted.length; i++) {
      error += (Number(got[i]) - Number(wanted[i])) ** 2;
      norm += Number(wanted[i]) ** 2;
    }
    return Math.sqrt(error) <= MAX_ERROR * Math.sqrt(norm);
  });
}
