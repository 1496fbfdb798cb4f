/** The worker of a session: calls stand in line, and a worker that was killed is started again. */

import { orAborted } from './abort';
import { Channel } from './channel';
import { PocketpressError } from './errors';
import type { Opened, OpenRequest } from './worker/protocol';

/** An inference that was given up is let finish for this long before its worker is killed. */
const GRACE_MS = 250;

/** A worker that has loaded the network. */
interface Running {
  readonly channel: Channel;
  readonly opened: Opened;
}

export class Network {
  private channel: Channel | null = null;
  private running: Running | null = null;
  private line: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(private readonly request: OpenRequest) {}

  /** Start the worker if there is none. */
  open(signal?: AbortSignal): Promise<Opened> {
    return this.call(async (_, opened) => opened, signal);
  }

  /** Take a turn: `action` runs when those before it are done. */
  async call<T>(action: (channel: Channel, opened: Opened) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.line;
    let finished!: () => void;
    this.line = new Promise<void>((resolve) => {
      finished = resolve;
    });
    const turn = async (): Promise<T> => {
      await before;
      signal?.throwIfAborted();
      const { channel, opened } = await this.ready();
      try {
        return await action(channel, opened);
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

  /** A worker with the network in it.  Only `call` comes here, so two never start one at a time. */
  private async ready(): Promise<Running> {
    if (this.closed) throw closedError();
    if (this.running?.channel.alive === true) return this.running;
    const channel = (this.channel = new Channel());
    try {
      return (this.running = { channel, opened: await channel.ask(this.request) });
    } catch (error) {
      this.kill();
      throw error;
    }
  }

  /** `work`, given up at once when `signal` says so; its worker is killed if it does not end soon. */
  private abandonable<T>(work: Promise<T>, before: Promise<unknown>, signal: AbortSignal): Promise<T> {
    const given = orAborted(work, signal);
    given.catch(async () => {
      await before;
      const timer = setTimeout(() => this.kill(), GRACE_MS);
      const stop = (): void => clearTimeout(timer);
      work.then(stop, stop);
    });
    return given;
  }

  private kill(reason = new PocketpressError('device', 'the inference was given up')): void {
    this.channel?.end(reason);
    this.channel = this.running = null;
  }
}

function closedError(): PocketpressError {
  return new PocketpressError('artifact', 'the session is closed', { nextStep: 'open the artifact again' });
}

/** After a runtime has failed its memory may hold anything; the next call gets a new one. */
function isBroken(error: unknown): boolean {
  return !(error instanceof PocketpressError) || error.kind === 'device' || error.kind === 'internal';
}
