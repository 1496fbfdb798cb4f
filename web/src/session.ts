/** A loaded artifact as a function from named arrays to named arrays, in real values. */

import { readArtifact, type RuntimeName } from './artifact/read';
import { chooseBackend, type Wanted } from './backend';
import { Channel } from './channel';
import { PocketpressError } from './errors';
import { runtimeFolder, RUNTIME_VERSIONS } from './runtimes';
import type { Signature } from './signature';
import { fetchArtifact, type Source } from './source';
import { checkFeeds, type Tensor, toFeeds, toTensors, type TypedArray } from './tensors';
import type { Backend, BlockRequest, Opened, OpenRequest, RunRequest } from './worker/protocol';

/** An inference that was given up is let finish for this long before its worker is killed. */
const GRACE_MS = 250;

export interface OpenOptions extends Wanted {
  /** Refuse an artifact for the other runtime. */
  readonly runtime?: RuntimeName;
  readonly signal?: AbortSignal;
  /** Address of the folder that holds `runtimes/`; by default that of this library. */
  readonly base?: string;
}

export interface CallOptions {
  readonly signal?: AbortSignal;
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
 *   (`unsupported`), or it or the runtime cannot be loaded (`device`).
 */
export async function open(source: Source, options: OpenOptions = {}): Promise<Session> {
  const { signal } = options;
  const bytes = await fetchArtifact(source, signal);
  const before = performance.now();
  const { runtime, signature } = readArtifact(bytes);
  if (options.runtime !== undefined && options.runtime !== runtime) {
    throw new PocketpressError('artifact', 'the artifact is for another runtime', {
      got: runtime,
      allowed: options.runtime,
    });
  }
  const chosen = await chooseBackend(options, runtime, signature);
  const request: OpenRequest = {
    op: 'open',
    runtime,
    bytes,
    folder: runtimeFolder(runtime, options.base),
    ...chosen,
    inputs: signature.inputs,
    outputs: signature.outputs,
  };
  const network = new Network(request);
  const opened = await network.call(() => network.ready(), signal);
  const info = { name: runtime, version: RUNTIME_VERSIONS[runtime], ...opened };
  return new Session(network, signature, info, performance.now() - before);
}

export class Session {
  /** Use `open`. */
  constructor(
    private readonly network: Network,
    readonly signature: Signature,
    readonly runtime: RuntimeInfo,
    /** Milliseconds from the artifact's bytes to a network that can run: the runtime's download counts. */
    readonly loadMs: number,
  ) {}

  /**
   * One inference in real values.
   *
   * @param inputs one array per input name, row by row.
   * @returns one tensor per output name.
   * @throws PocketpressError: an input does not fit (`artifact`), or the runtime fails (`device`); the reason of
   *   `signal` when that is aborted.
   */
  async run(inputs: Readonly<Record<string, TypedArray>>, options: CallOptions = {}): Promise<Record<string, Tensor>> {
    const results = await this.infer(toFeeds(this.signature.inputs, inputs), options);
    return toTensors(this.signature.outputs, results);
  }

  /** One inference in the file's own dtypes, in the signature's order; errors as `run`. */
  async runRaw(feeds: readonly TypedArray[], options: CallOptions = {}): Promise<TypedArray[]> {
    checkFeeds(this.signature.inputs, feeds);
    return this.infer(feeds, options);
  }

  /** Seconds of `timed` inferences, after `untimed` ones, by the worker's own clock. */
  async block(feeds: readonly TypedArray[], untimed: number, timed: number, options: CallOptions = {}): Promise<number[]> {
    checkFeeds(this.signature.inputs, feeds);
    return this.network.call(async (channel) => {
      const request: BlockRequest = { op: 'block', feeds, untimed, timed };
      return channel.ask(request);
    }, options.signal);
  }

  /** Release the runtime's memory; calls after that are refused. */
  async close(): Promise<void> {
    this.network.close();
  }

  private infer(feeds: readonly TypedArray[], { signal }: CallOptions): Promise<TypedArray[]> {
    return this.network.call((channel) => {
      const request: RunRequest = { op: 'run', feeds };
      return channel.ask(request);
    }, signal);
  }
}

/** The worker of a session: calls stand in line, and a worker that was killed is started again. */
class Network {
  private channel: Channel | null = null;
  private opened: Promise<Opened> | null = null;
  private line: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(private readonly request: OpenRequest) {}

  /** Start the worker if there is none. */
  async ready(): Promise<Opened> {
    if (this.closed) throw closedError();
    if (this.opened === null || this.channel?.alive !== true) {
      this.channel = new Channel();
      this.opened = this.channel.ask(this.request);
    }
    try {
      return await this.opened;
    } catch (error) {
      this.kill();
      throw error;
    }
  }

  /** Take a turn: `action` runs when those before it are done. */
  async call<T>(action: (channel: Channel) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.line;
    let finished!: () => void;
    this.line = new Promise<void>((resolve) => {
      finished = resolve;
    });
    const turn = async (): Promise<T> => {
      await before;
      signal?.throwIfAborted();
      await this.ready();
      return action(this.channel as Channel);
    };
    const work = turn();
    void work.then(finished, finished);
    return signal === undefined ? work : this.abandonable(work, before, signal);
  }

  close(): void {
    this.closed = true;
    this.kill(closedError());
  }

  /** `work`, given up at once when `signal` says so; its worker is killed if it does not end soon. */
  private abandonable<T>(work: Promise<T>, before: Promise<unknown>, signal: AbortSignal): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const give = (): void => {
        reject(signal.reason);
        void before.then(() => {
          const timer = setTimeout(() => this.kill(), GRACE_MS);
          const stop = (): void => clearTimeout(timer);
          work.then(stop, stop);
        });
      };
      if (signal.aborted) give();
      else signal.addEventListener('abort', give, { once: true });
      const done = (): void => signal.removeEventListener('abort', give);
      work.then(
        (value) => (done(), resolve(value)),
        (error: unknown) => (done(), reject(error)),
      );
    });
  }

  private kill(reason = new PocketpressError('device', 'the inference was given up')): void {
    this.channel?.end(reason);
    this.channel = null;
    this.opened = null;
  }
}

function closedError(): PocketpressError {
  return new PocketpressError('artifact', 'the session is closed', { nextStep: 'open the artifact again' });
}
