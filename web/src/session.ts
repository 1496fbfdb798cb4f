/** A loaded artifact as a function from named arrays to named arrays, in real values. */

import { orAborted } from './abort';
import { readArtifact, type RuntimeName } from './artifact/read';
import { chooseBackend, type Chosen, type Wanted } from './backend';
import { PocketpressError } from './errors';
import { Network } from './network';
import { runtimeFolder, RUNTIME_VERSIONS } from './runtimes';
import { checkSha256 } from './sha256';
import { givenInputs, returnedOutputs, type Signature } from './signature';
import { fetchArtifact, type Source } from './source';
import { initialStates } from './states';
import { checkFeeds, fileToReal, type Tensor, toFeeds, toTensors, type TypedArray } from './tensors';
import type { Backend, BlockRequest, Opened, RunRequest } from './worker/protocol';

export interface OpenOptions extends Wanted {
  /** Refuse an artifact for the other runtime. */
  readonly runtime?: RuntimeName;
  readonly signal?: AbortSignal | undefined;
  /** Hexadecimal digest that the artifact must have. */
  readonly sha256?: string;
  /** Address of the folder that holds `runtimes/`; by default that of this library. */
  readonly base?: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface RuntimeInfo {
  readonly name: RuntimeName;
  readonly version: string;
  readonly backend: Backend;
  readonly threads: number;
}

/**
 * Load an artifact in its runtime, in a worker of its own.
 *
 * @param source the address of an artifact, or its bytes.
 * @throws PocketpressError: the file is no artifact or damaged (`artifact`), this browser cannot run it
 *   (`unsupported`), it or the runtime cannot be loaded (`device`), or it is not the one of `sha256` (`trust`).
 */
export async function open(source: Source, options: OpenOptions = {}): Promise<Session> {
  const { signal } = options;
  const bytes = await fetchArtifact(source, signal);
  if (options.sha256 !== undefined) await checkSha256(bytes, options.sha256);
  const before = performance.now();
  const { runtime, signature } = readArtifact(bytes);
  if (options.runtime !== undefined && options.runtime !== runtime) {
    throw new PocketpressError('artifact', 'the artifact is for another runtime', {
      got: runtime,
      allowed: options.runtime,
    });
  }
  const load = async (chosen: Chosen): Promise<[Network, Opened]> => {
    const folder = runtimeFolder(runtime, options.base);
    const { inputs, outputs } = signature;
    return connect(new Network({ op: 'open', runtime, bytes, folder, inputs, outputs, ...chosen }), signal);
  };
  const chosen = await chooseBackend(options, runtime, signature);
  const [network, opened] = await load(chosen).catch(async (error: unknown) => {
    signal?.throwIfAborted();
    if (chosen.backend !== 'webgpu' || options.backend === 'webgpu') throw error;
    return load(await chooseBackend({ ...options, backend: 'wasm' }, runtime, signature));
  });
  const info = { name: runtime, version: RUNTIME_VERSIONS[runtime], ...opened };
  return new Session(network, signature, info, performance.now() - before);
}

async function connect(network: Network, signal?: AbortSignal): Promise<[Network, Opened]> {
  try {
    return [network, await network.open(signal)];
  } catch (error) {
    network.close();
    throw error;
  }
}

export class Session {
  private kept: ReadonlyMap<string, TypedArray>;
  private stepping: Promise<unknown> = Promise.resolve();

  /** Use `open`. */
  constructor(
    private readonly network: Network,
    readonly signature: Signature,
    readonly runtime: RuntimeInfo,
    /** Milliseconds from the artifact's bytes to a network that can run: the runtime's download counts. */
    readonly loadMs: number,
  ) {
    this.kept = initialStates(signature, {});
  }

  /**
   * One inference in real values.
   *
   * @param inputs one array per input name, row by row; they may be reused as soon as this has returned.
   * @returns one tensor per output name.
   * @throws PocketpressError: an input does not fit (`artifact`), or the runtime fails (`device`); the reason of
   *   `signal` when that is aborted.
   */
  async run(
    inputs: Readonly<Record<string, TypedArray>>,
    options: CallOptions = {},
  ): Promise<Record<string, Tensor>> {
    const results = await this.infer(toFeeds(this.signature.inputs, inputs), options);
    return toTensors(this.signature.outputs, results);
  }

  /** One inference in the file's own dtypes, in the signature's order; errors as `run`. */
  async runRaw(feeds: readonly TypedArray[], options: CallOptions = {}): Promise<TypedArray[]> {
    checkFeeds(this.signature.inputs, feeds);
    return this.infer(feeds, options);
  }

  /**
   * One inference on the kept states, which become what it returns for them.
   *
   * Steps that are asked for together run one after the other.  After an error the states are what they were.
   *
   * @param inputs those that are no states.
   * @returns outputs that are no states.
   */
  async step(
    inputs: Readonly<Record<string, TypedArray>>,
    options: CallOptions = {},
  ): Promise<Record<string, Tensor>> {
    const given = givenInputs(this.signature);
    const feeds = new Map(toFeeds(given, inputs).map((feed, i) => [given[i]?.name as string, feed]));
    const work = this.stepping.then(() => this.stepOn(feeds, options));
    this.stepping = work.catch(() => undefined);
    return orAborted(work, options.signal);
  }

  /** Start a new sequence: every state gets its initial value, or the real values given for it. */
  reset(states: Readonly<Record<string, TypedArray>> = {}): void {
    this.kept = initialStates(this.signature, states);
  }

  /** Real values of the kept states, by the name of the input that takes them. */
  get states(): Record<string, Tensor> {
    return Object.fromEntries(
      this.signature.inputs.flatMap((spec) => {
        const value = this.kept.get(spec.name);
        if (value === undefined) return [];
        return [[spec.name, { name: spec.name, shape: spec.shape, data: fileToReal(value, spec).slice() }]];
      }),
    );
  }

  /** Seconds of `timed` inferences, after `untimed` ones, by the worker's own clock. */
  async block(
    feeds: readonly TypedArray[],
    untimed: number,
    timed: number,
    options: CallOptions = {},
  ): Promise<number[]> {
    checkFeeds(this.signature.inputs, feeds);
    const request: BlockRequest = { op: 'block', feeds, untimed, timed };
    return this.network.call((channel) => channel.ask(request), options.signal);
  }

  /** Release the runtime's memory; calls after that are refused. */
  async close(): Promise<void> {
    this.network.close();
  }

  private async stepOn(
    feeds: ReadonlyMap<string, TypedArray>,
    options: CallOptions,
  ): Promise<Record<string, Tensor>> {
    const { inputs, outputs, states } = this.signature;
    const before = this.kept;
    const whole = inputs.map(({ name }) => (feeds.get(name) ?? before.get(name)) as TypedArray);
    const results = await this.infer(whole, options);
    const byName = new Map(outputs.map(({ name }, i) => [name, results[i] as TypedArray]));
    if (this.kept === before) {
      this.kept = new Map(states.map(({ input, output }) => [input, byName.get(output) as TypedArray]));
    }
    const returned = returnedOutputs(this.signature);
    return toTensors(
      returned,
      returned.map(({ name }) => byName.get(name) as TypedArray),
    );
  }

  /** The arrays are the caller's, who may write to them while the call stands in line: a copy goes. */
  private infer(feeds: readonly TypedArray[], { signal }: CallOptions): Promise<TypedArray[]> {
    const request: RunRequest = { op: 'run', feeds: feeds.map((feed) => feed.slice()) };
    const buffers = request.feeds.map((feed) => feed.buffer as ArrayBuffer);
    return this.network.call((channel) => channel.ask(request, buffers), signal);
  }
}
