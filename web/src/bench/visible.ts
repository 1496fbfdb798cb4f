/** A hidden page is slowed down, so what is measured on it says nothing. */

/** Whether the page was hidden at any time since this was made, or since `again`. */
export class Watchman {
  private hidden = document.hidden;

  constructor() {
    document.addEventListener('visibilitychange', this.look);
  }

  private readonly look = (): void => {
    if (document.hidden) this.hidden = true;
  };

  get wasHidden(): boolean {
    return this.hidden;
  }

  again(): void {
    this.hidden = document.hidden;
  }

  end(): void {
    document.removeEventListener('visibilitychange', this.look);
  }
}

/** Resolves when the page is in front; the reason of `signal` when that is aborted. */
export function inFront(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    if (!document.hidden) return resolve();
    const look = (): void => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener('visibilitychange', look);
      signal.removeEventListener('abort', look);
      if (signal.aborted) reject(signal.reason);
      else resolve();
    };
    document.addEventListener('visibilitychange', look);
    signal.addEventListener('abort', look);
  });
}

/** Ask the browser to keep the screen on; it forgets that when the page is hidden, so ask again then. */
export function keepAwake(signal: AbortSignal): void {
  const { wakeLock } = navigator as { wakeLock?: WakeLock };
  if (wakeLock === undefined) return;
  let held: WakeLockSentinel | null = null;
  const ask = (): void => {
    if (document.hidden || signal.aborted) return;
    wakeLock.request('screen').then(
      (lock) => {
        held = lock;
        if (signal.aborted) void lock.release();
      },
      () => undefined, // low battery, or no permission: the screen may go off, and what is hidden is redone
    );
  };
  document.addEventListener('visibilitychange', ask, { signal });
  signal.addEventListener('abort', () => void held?.release().catch(() => undefined), { once: true });
  ask();
}
