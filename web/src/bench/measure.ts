/** One task: fetch, check, load, compare, time. */

import { PocketpressError, firstLine } from '../errors';
import { feedsFor } from '../fastest';
import { median } from '../median';
import { open, type Session } from '../session';
import { sha256 } from '../sha256';
import type { TensorSpec } from '../signature';
import { fileToReal, toFeed, type TypedArray } from '../tensors';
import { time, type Timed } from '../time';
import { Comparison, readSamples, type Sample } from './golden';
import type { Agreement, Job, Outcome, Result, Sustained, Task, Timings } from './protocol';
import { getBytes } from './server';
import { inFront, Watchman } from './visible';

const MEMORY_MS = 1000;
const PARTS = 60;
const LAST_RUNS = 4000;
const LONGEST_WARMUP_S = 30;

/** What a task tells while it runs. */
export interface Progress {
  (doing: string, share: number, medianS?: number): void;
}

export interface Context {
  readonly job: Job;
  readonly signal: AbortSignal;
  readonly progress: Progress;
}

/** An artifact whose bytes are not the ones that were announced. */
class Tampered extends Error {}

/** Never throws but for `signal`: what went wrong is in the result. */
export async function measure(task: Task, context: Context): Promise<Result> {
  const opened: Session[] = [];
  try {
    return await measured(task, context, opened);
  } catch (error) {
    context.signal.throwIfAborted();
    const failed: Result = {
      task: task.task,
      outcome: outcomeOf(error),
      reason: firstLine(error).slice(0, 900),
    };
    const onGpu = opened.some((session) => session.runtime.backend === 'webgpu');
    if (task.backend !== 'auto' || !onGpu) return failed;
    await closeAll(opened); // before others are opened: memory is short on phones
    return await measureWithout(task, context, firstLine(error));
  } finally {
    await closeAll(opened);
  }
}

async function closeAll(sessions: readonly Session[]): Promise<void> {
  await Promise.all(sessions.map((session) => session.close()));
}

/** A GPU that was chosen and does not do it costs the phone its fastest way, and not its answer. */
async function measureWithout(task: Task, context: Context, reason: string): Promise<Result> {
  const result = await measure({ ...task, backend: 'wasm' }, context);
  if (result.outcome !== 'measured') return result;
  const note = `measured in WebAssembly; WebGPU failed: ${reason}`.slice(0, 300);
  return { ...result, notes: [...(result.notes ?? []), note] };
}

function outcomeOf(error: unknown): Outcome {
  if (error instanceof Tampered) return 'tampered';
  const refuses =
    error instanceof PocketpressError && (error.kind === 'unsupported' || error.kind === 'artifact');
  return refuses ? 'refused' : 'failed';
}

async function measured(task: Task, context: Context, opened: Session[]): Promise<Result> {
  const { job, signal, progress } = context;
  const threads = job.threads === null ? {} : { threads: job.threads };
  progress('downloading', 0);
  const begun = performance.now();
  const samplesComing = fetchSamples(task, signal);
  samplesComing.catch(() => undefined); // looked at below, unless something else fails first
  const bytes = await checkedBytes(task.sha256, task.artifact, signal);
  const downloadS = (performance.now() - begun) / 1000;
  progress('loading', 0.05);
  const session = await open(bytes, { backend: task.backend, ...threads, signal });
  opened.push(session);
  const memory = memoryBytes();
  const samples = await samplesComing;
  progress('comparing', 0.1);
  const agreement = task.golden === null ? null : await compared(session, task, samples, context);
  const feeds = samples[0]?.feeds ?? feedsFor(session.signature.inputs);
  const firstNumberS = await firstNumber(session, feeds, context);
  const notes: string[] = [];
  const floats = await floatSession(task, session, context, notes);
  if (floats !== null) opened.push(floats);
  const pairs: Timed[] = [[session, feeds]];
  if (floats !== null) pairs.push([floats, converted(feeds, session, floats)]);
  const timings = await timed(pairs, context);
  const sustained = job.sustained_s > 0 ? await ranOn(session, feeds, context) : null;
  progress('finishing', 0.98);
  return {
    task: task.task,
    outcome: 'measured',
    runtime: `${session.runtime.name === 'litert' ? 'LiteRT.js' : 'onnxruntime-web'} ${session.runtime.version}`,
    backend: session.runtime.backend,
    threads: session.runtime.threads,
    download_s: downloadS,
    load_s: session.loadMs / 1000,
    first_number_s: firstNumberS,
    memory_bytes: await soon(memory),
    agreement,
    timings,
    sustained,
    notes,
  };
}

async function checkedBytes(
  digest: string,
  name: string,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(await getBytes(`api/artifacts/${digest}`, signal));
  const got = await sha256(bytes);
  if (got !== digest) {
    throw new Tampered(
      `${name} is not the file that was announced: SHA-256 ${got.slice(0, 12)}… instead of ${digest.slice(0, 12)}…; ` +
        'it was changed after the command began, or on the way',
    );
  }
  return bytes;
}

async function fetchSamples(task: Task, signal: AbortSignal): Promise<Sample[]> {
  if (task.golden === null) return [];
  return readSamples(await getBytes(`api/golden/${task.golden.name}`, signal), task.golden);
}

async function compared(
  session: Session,
  task: Task,
  samples: Sample[],
  context: Context,
): Promise<Agreement | null> {
  if (task.golden === null) return null;
  const comparison = new Comparison(task.golden, session.signature.outputs);
  for (const [i, sample] of samples.entries()) {
    comparison.add(await session.runRaw(sample.feeds, { signal: context.signal }), sample);
    context.progress('comparing', 0.1 + (0.1 * (i + 1)) / samples.length);
  }
  return comparison.agreement;
}

/** The float original in the same backend, or null with a note why not. */
async function floatSession(
  task: Task,
  session: Session,
  { signal }: Context,
  notes: string[],
): Promise<Session | null> {
  if (task.float === null) return null;
  const { backend, threads } = session.runtime;
  try {
    const bytes = await checkedBytes(task.float.sha256, `the float original of ${task.artifact}`, signal);
    return await open(bytes, { backend: backend === 'webgpu' ? 'webgpu' : 'wasm', threads, signal });
  } catch (error) {
    signal.throwIfAborted();
    notes.push(`not compared with the float original: ${firstLine(error)}`.slice(0, 300));
    return null;
  }
}

/** The same real values as another artifact of the network takes them. */
function converted(feeds: readonly TypedArray[], from: Session, to: Session): TypedArray[] {
  return to.signature.inputs.map((spec, i) => {
    const real = fileToReal(feeds[i] as TypedArray, from.signature.inputs[i] as TensorSpec);
    return toFeed(spec, real);
  });
}

/** Something to look at while the float original loads; returns seconds since the page was opened. */
async function firstNumber(
  session: Session,
  feeds: readonly TypedArray[],
  context: Context,
): Promise<number> {
  const times = await session.block(feeds, context.job.plan.warmup, 3, { signal: context.signal });
  context.progress('measuring', 0.2, median(times));
  return performance.now() / 1000;
}

/** Warm up, then repeat until enough repeats were made with the page in front all the while. */
async function timed(pairs: readonly Timed[], context: Context): Promise<Timings> {
  const { plan } = context.job;
  const watchman = new Watchman();
  const seconds: number[][][] = pairs.map(() => []);
  let discarded = 0;
  let overheadS = 0;
  try {
    const warmup = await warmUp(pairs, context);
    const seen: number[] = [];
    for (let done = 0; done < plan.repeats;) {
      await inFront(context.signal);
      watchman.again();
      const times = await time(
        pairs,
        { warmup: 1, block: plan.block, minRounds: 3, maxRounds: plan.rounds, budgetS: plan.repeat_s },
        {
          signal: context.signal,
          onRound: ([own = []]) => {
            if (watchman.wasHidden) return;
            seen.push(...own);
            context.progress('measuring', 0.25 + (0.7 * (done + 0.5)) / plan.repeats, median(seen));
          },
        },
      );
      if (watchman.wasHidden) {
        discarded++;
        continue;
      }
      times.seconds.forEach((rounds, i) => seconds[i]?.push(...rounds));
      overheadS = times.overheadS;
      done++;
    }
    const block = Math.min(...seconds.flat().map((round) => round.length));
    const [own = [], floats = null] = seconds.map((rounds) => rounds.map((round) => round.slice(0, block)));
    return { seconds: own, float_seconds: floats, warmup, overhead_s: overheadS, discarded };
  } finally {
    watchman.end();
  }
}

/** Untimed inferences of each; at least three of a network that takes seconds. */
async function warmUp(pairs: readonly Timed[], { job, signal, progress }: Context): Promise<number> {
  const begun = performance.now();
  for (let done = 1; ; done++) {
    for (const [session, feeds] of pairs) await session.block(feeds, 1, 0, { signal });
    progress('warming up', 0.2 + (0.05 * done) / job.plan.warmup);
    const late = (performance.now() - begun) / 1000 > LONGEST_WARMUP_S;
    if (done >= job.plan.warmup || (late && done >= 3)) return done;
  }
}

/** Run without a pause for as long as was asked; heat slows a phone within minutes. */
async function ranOn(session: Session, feeds: readonly TypedArray[], context: Context): Promise<Sustained> {
  const { job, signal, progress } = context;
  const watchman = new Watchman();
  const times: { at: number; seconds: number }[] = [];
  const begun = performance.now();
  const elapsed = (): number => (performance.now() - begun) / 1000;
  try {
    while (elapsed() < job.sustained_s) {
      for (const seconds of await session.block(feeds, 0, 4, { signal }))
        times.push({ at: elapsed(), seconds });
      const recent = times.slice(-20).map((run) => run.seconds);
      progress('running on', Math.min(1, elapsed() / job.sustained_s), median(recent));
    }
  } finally {
    watchman.end();
  }
  const whole = elapsed();
  const part = (at: number): number => Math.min(PARTS - 1, Math.floor((at / whole) * PARTS));
  const parts: number[][] = Array.from({ length: PARTS }, () => []);
  for (const run of times) parts[part(run.at)]?.push(run.seconds);
  const late = times.filter((run) => run.at >= 0.9 * whole);
  const last = (late.length > 0 ? late : times.slice(-1)).map((run) => run.seconds);
  const stride = Math.ceil(last.length / LAST_RUNS);
  return {
    seconds: whole,
    runs: times.length,
    medians: parts.filter((runs) => runs.length > 0).map(median),
    last: last.filter((_, i) => i % stride === 0),
    interrupted: watchman.wasHidden,
  };
}

/** Of this page and its workers, where the browser tells; it does so when it next collects garbage. */
async function memoryBytes(): Promise<number | null> {
  const tell = performance as { measureUserAgentSpecificMemory?: () => Promise<{ bytes: number }> };
  if (crossOriginIsolated !== true || tell.measureUserAgentSpecificMemory === undefined) return null;
  try {
    return (await tell.measureUserAgentSpecificMemory()).bytes;
  } catch {
    return null;
  }
}

function soon<T>(value: Promise<T>): Promise<T | null> {
  return Promise.race([value, new Promise<null>((resolve) => setTimeout(() => resolve(null), MEMORY_MS))]);
}
