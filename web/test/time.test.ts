import { describe, expect, it } from 'vitest';

import { time, type Timed } from '../src/time';

/** A session that tells the order in which its blocks were asked for. */
function recorded(name: string, seconds: number, log: string[]): Timed {
  const block = async (_: unknown, untimed: number, timed: number): Promise<number[]> => {
    log.push(`${name}${untimed}+${timed}`);
    return Array.from({ length: timed }, () => seconds);
  };
  return [{ block }, []];
}

describe('time', () => {
  it('warms up, then interleaves blocks in alternating order', async () => {
    const log: string[] = [];
    const plan = { warmup: 2, block: 3, minRounds: 2, maxRounds: 2, budgetS: 100 };
    const times = await time([recorded('a', 0.001, log), recorded('b', 0.002, log)], plan);
    expect(log.join(' ')).toBe('a0+1 b0+1 a0+1 b0+1 a1+3 b1+3 b1+3 a1+3');
    expect(times.seconds).toEqual([
      [[0.001, 0.001, 0.001], [0.001, 0.001, 0.001]],
      [[0.002, 0.002, 0.002], [0.002, 0.002, 0.002]],
    ]); // prettier-ignore
    expect(times.warmup).toBe(2);
    expect(times.resolutionS).toBeGreaterThan(0);
  });

  it('keeps to the budget: one warm-up, and shorter blocks for the least number of rounds', async () => {
    const log: string[] = [];
    const times = await time([recorded('a', 1, log)], {
      warmup: 5,
      block: 4,
      minRounds: 2,
      maxRounds: 2,
      budgetS: 4,
    });
    expect(times.warmup).toBe(1);
    expect(log).toEqual(['a0+1', 'a1+1', 'a1+1']);
  });

  it('does the least number of rounds with no budget at all', async () => {
    const times = await time([recorded('a', 0, [])], { budgetS: 0, minRounds: 3 });
    expect(times.seconds[0]).toHaveLength(3);
  });

  it('tells every round', async () => {
    const rounds: number[] = [];
    const plan = { warmup: 1, block: 1, minRounds: 3, maxRounds: 3, budgetS: 100 };
    await time([recorded('a', 0.5, [])], plan, { onRound: (seconds) => rounds.push(seconds[0]?.[0] ?? NaN) });
    expect(rounds).toEqual([0.5, 0.5, 0.5]);
  });

  it.each([
    { warmup: 0 },
    { block: 0.5 },
    { minRounds: 3, maxRounds: 2 },
    { maxRounds: 10_001 },
    { budgetS: NaN },
  ])('refuses %o', async (plan) => {
    await expect(time([], plan)).rejects.toMatchObject({ kind: 'artifact' });
  });
});
