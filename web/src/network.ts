/** The worker of a session: calls stand in line, and a worker that was killed is started again. */

import { Channel } from './channel';
import { PocketpressError } from './errors';
import type { Opened, OpenRequest } from './worker/protocol';

/** An inference that was given up is let finish for this long before its worker is killed. */
const GRACE_MS = 250;

export class Network {
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
      try {
        return await action(this.channel as Channel);
      } catch (error) {
        if (isBroken(error)) this.kill();
        throw error;
      }
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

/** After a runtime has failed its memory may hold anything; the next call gets a new one. */
function isBroken(error: unknown): boolean {
  return !(error instanceof PocketpressError) || error.kind === 'device' || error.kind === 'internal';
}
