/** One worker that answers one request at a time, and that can be killed. */

import { fromPlain, PocketpressError } from './errors';
import type { Envelope, Reply, Request, Results } from './worker/protocol';

interface Waiting {
  readonly id: number;
  resolve(result: never): void;
  reject(error: unknown): void;
}

/** A worker and what is waited for.  Requests must not overlap. */
export class Channel {
  private readonly worker: Worker;
  private waiting: Waiting | null = null;
  private next = 0;
  private ended: PocketpressError | null = null;

  constructor() {
    this.worker = new Worker(new URL('./worker/worker.ts', import.meta.url), { name: 'pocketpress' });
    this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.settle(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      const nextStep = 'check the connection and that scripts of this page may start workers';
      this.end(
        new PocketpressError('device', 'the worker stopped', {
          got: event.message || 'no message',
          nextStep,
        }),
      );
    };
    this.worker.onmessageerror = () =>
      this.end(new PocketpressError('internal', 'a message of the worker was lost'));
  }

  /** Whether it can be asked; false once it has failed or been ended. */
  get alive(): boolean {
    return this.ended === null;
  }

  ask<R extends Request>(request: R, transfer: Transferable[] = []): Promise<Results[R['op']]> {
    if (this.ended !== null) return Promise.reject(this.ended);
    if (this.waiting !== null) return Promise.reject(new PocketpressError('internal', 'requests overlap'));
    const id = this.next++;
    const reply = new Promise<Results[R['op']]>((resolve, reject) => {
      this.waiting = { id, resolve, reject };
    });
    const envelope: Envelope = { id, request };
    this.worker.postMessage(envelope, transfer);
    return reply;
  }

  /** Kill the worker; what is waited for is refused with `reason`. */
  end(reason: PocketpressError): void {
    if (this.ended !== null) return;
    this.ended = reason;
    this.worker.terminate();
    this.waiting?.reject(reason);
    this.waiting = null;
  }

  private settle(reply: Reply): void {
    const { waiting } = this;
    if (waiting === null || waiting.id !== reply.id) return;
    this.waiting = null;
    if ('error' in reply) waiting.reject(fromPlain(reply.error));
    else waiting.resolve(reply.result as never);
  }
}
