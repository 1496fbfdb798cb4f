/** Time several sessions against each other in one loop; the plan and the order of Python's `devices/timing.py`.
 *
 * A phone's speed drifts (heat, other work), so the sessions are interleaved: every round runs one block of
 * consecutive inferences of each, in alternating order.  Blocks run in the sessions' workers, by the workers' clocks,
 * so that messages are not timed.  The first inference of a block is not timed: it finds the caches full of the other
 * network's weights, which no application does. */

import { PocketpressError } from './errors';
import type { Session } from './session';
import type { TypedArray } from './tensors';

const MAX_ROUNDS = 10_000;
const EMPTY_MEASUREMENTS = 101;

export interface TimingPlan {
  /** Untimed inferences of each session before anything else; fewer, but at least one, where they would take more
   * than a quarter of the budget.  Browsers compile a network's code twice, the second time while it runs. */
  readonly warmup: number;
  /** Timed inferences per session and round; fewer, but at least one, where `minRounds` would not fit the budget. */
  readonly block: number;
  /** Rounds even when the budget is spent. */
  readonly minRounds: number;
  readonly maxRounds: number;
  /** No new round is begun after this many seconds, warm-up included. */
  readonly budgetS: number;
}

export const DEFAULT_PLAN: TimingPlan = { warmup: 10, block: 4, minRounds: 5, maxRounds: 100, budgetS: 5 };

export interface Times {
  /** Of shape (sessions, rounds, block). */
  readonly seconds: number[][][];
  /** Untimed inferences of each session before. */
  readonly warmup: number;
  /** Median time of an empty measurement; not subtracted. */
  readonly overheadS: number;
  /** Step of this page's clock: 5 microseconds on isolated pages, 100 or more elsewhere. */
  readonly resolutionS: number;
}

export interface TimeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called after every round with the seconds of its blocks, (sessions, block). */
  readonly onRound?: (seconds: readonly number[][]) => void;
}

/** A session and its inputs, in the file's dtypes and the signature's order. */
export type Timed = readonly [Pick<Session, 'block'>, readonly TypedArray[]];

/**
 * Time as the plan says.
 *
 * @throws PocketpressError: an impossible plan (`artifact`), or a session that fails; the reason of `signal`.
 */
export async function time(
  pairs: readonly Timed[],
  plan: Partial<TimingPlan> = {},
  options: TimeOptions = {},
): Promise<Times> {
  const whole: TimingPlan = { ...DEFAULT_PLAN, ...plan };
  checkPlan(whole);
  const start = now();
  const { done, onceS } = await warmUp(pairs, whole, options);
  const block = fittingBlock(whole, onceS);
  const seconds: number[][][] = pairs.map(() => []);
  for (let round = 0; round < whole.maxRounds; round++) {
    if (round >= whole.minRounds && now() - start >= whole.budgetS) break;
    const times = await oneRound(pairs, block, round % 2 === 1, options);
    times.forEach((blockTimes, i) => seconds[i]?.push(blockTimes));
    options.onRound?.(times);
  }
  return { seconds, warmup: done, overheadS: emptyS(), resolutionS: resolutionS() };
}

function checkPlan(plan: TimingPlan): void {
  const { warmup, block, minRounds, maxRounds, budgetS } = plan;
  const counts = [warmup, block, minRounds, maxRounds];
  const fine =
    counts.every((n) => Number.isInteger(n) && n >= 1) && minRounds <= maxRounds && maxRounds <= MAX_ROUNDS;
  if (!fine || !(budgetS >= 0)) {
    throw new PocketpressError('artifact', 'the timing plan is impossible', {
      got: JSON.stringify(plan),
      allowed: `counts of at least 1, minRounds <= maxRounds <= ${MAX_ROUNDS}`,
    });
  }
}

/** Seconds of the last inference of all sessions together, and how often each was run. */
async function warmUp(
  pairs: readonly Timed[],
  plan: TimingPlan,
  options: TimeOptions,
): Promise<{ done: number; onceS: number }> {
  const start = now();
  let done = 0;
  let onceS = 0;
  while (done < plan.warmup && (done === 0 || now() - start + onceS <= plan.budgetS / 4)) {
    onceS = 0;
    for (const [session, feeds] of pairs) onceS += sum(await session.block(feeds, 0, 1, options));
    done++;
  }
  return { done, onceS };
}

function fittingBlock(plan: TimingPlan, onceS: number): number {
  if (onceS <= 0) return plan.block;
  return Math.max(1, Math.min(plan.block, Math.floor(plan.budgetS / plan.minRounds / onceS) - 1));
}

async function oneRound(
  pairs: readonly Timed[],
  block: number,
  backwards: boolean,
  options: TimeOptions,
): Promise<number[][]> {
  const times: number[][] = pairs.map(() => []);
  const order = [...pairs.entries()];
  if (backwards) order.reverse();
  for (const [i, [session, feeds]] of order) times[i] = await session.block(feeds, 1, block, options);
  return times;
}

function now(): number {
  return performance.now() / 1000;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function emptyS(): number {
  const times = Array.from({ length: EMPTY_MEASUREMENTS }, () => {
    const before = now();
    return now() - before;
  }).sort((a, b) => a - b);
  return times[EMPTY_MEASUREMENTS >> 1] as number;
}

/** The smallest step that the clock was seen to make. */
function resolutionS(): number {
  let least = Infinity;
  for (let seen = 0; seen < 5; seen++) {
    const before = performance.now();
    let after = before;
    while (after === before) after = performance.now();
    least = Math.min(least, after - before);
  }
  return least / 1000;
}
