/** The command at the other end.  Addresses are relative: the token is part of this page's own. */

import { PocketpressError } from '../errors';
import type { Answer, Job, Result } from './protocol';

const SHORT_MS = 10_000;
const AGAIN_MS = 1500;

/** The server said no: the status tells whether to try again. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export interface Who {
  readonly phone: string;
  readonly tab: string;
}

export async function getJob(): Promise<Job> {
  return (await get('api/job')).json() as Promise<Job>;
}

/** Bytes of an artifact or of golden samples. */
export async function getBytes(path: string, signal: AbortSignal): Promise<ArrayBuffer> {
  for (;;) {
    try {
      return await (await get(path, signal)).arrayBuffer();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Refused)
        throw new PocketpressError('device', `cannot fetch ${path}`, { got: error.message });
      await pause(AGAIN_MS);
    }
  }
}

async function get(path: string, signal?: AbortSignal): Promise<Response> {
  const response = await fetch(path, { cache: 'no-store', ...(signal === undefined ? {} : { signal }) });
  if (!response.ok) throw new Refused(response.status, await reason(response));
  return response;
}

/** One message; throws Refused, or TypeError without a connection. */
export async function post(path: string, message: object): Promise<Answer> {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(message),
    signal: AbortSignal.timeout(SHORT_MS),
  });
  if (!response.ok) throw new Refused(response.status, await reason(response));
  return response.json() as Promise<Answer>;
}

async function reason(response: Response): Promise<string> {
  const text = await response.text();
  try {
    return String((JSON.parse(text) as { error: unknown }).error);
  } catch {
    return response.status === 403
      ? 'this address is no longer valid; scan the code again'
      : `status ${response.status}`;
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Results on their way.  They outlive a lost network, and a reload. */
export class Outbox {
  private readonly waiting: Result[];
  private sending: Promise<void> = Promise.resolve();

  constructor(
    private readonly key: string,
    private readonly who: Who,
    private readonly onAnswer: (answer: Answer) => void,
    private readonly onTrouble: (text: string | null) => void,
  ) {
    this.waiting = stored(key);
  }

  /** Tasks whose results are here still. */
  get tasks(): string[] {
    return this.waiting.map((result) => result.task);
  }

  add(result: Result): void {
    this.waiting.push(result);
    this.store();
  }

  /**
   * Send all there is, however long it takes; returns when nothing is left, or another tab measures.
   *
   * One sender at a time: two would both send the first result and drop one more.
   */
  flush(signal: AbortSignal): Promise<void> {
    const sent = this.sending.then(() => this.send(signal));
    this.sending = sent.catch(() => undefined);
    return sent;
  }

  private async send(signal: AbortSignal): Promise<void> {
    while (this.waiting.length > 0 && !signal.aborted) {
      const next = this.waiting[0] as Result;
      try {
        this.onAnswer(await post('api/result', { ...this.who, ...next }));
        this.onTrouble(null);
      } catch (error) {
        if (error instanceof Refused && error.status === 409) return;
        if (!(error instanceof Refused)) {
          this.onTrouble('No connection. What was measured is kept here and sent when it is back.');
          await pause(AGAIN_MS);
          continue;
        }
        this.onTrouble(`The command did not take a result: ${error.message}`);
      }
      this.waiting.shift();
      this.store();
    }
  }

  private store(): void {
    try {
      if (this.waiting.length > 0) localStorage.setItem(this.key, JSON.stringify(this.waiting));
      else localStorage.removeItem(this.key);
    } catch {
      // private browsing: results live as long as the page
    }
  }
}

function stored(key: string): Result[] {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '[]') as Result[];
  } catch {
    return [];
  }
}
