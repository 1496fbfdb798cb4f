import { describe, expect, it } from 'vitest';

import { agree, feedsFor } from '../src/fastest';
import type { DType, TensorSpec } from '../src/signature';

function spec(dtype: DType, rows: number | null = null): TensorSpec {
  const none = { scale: null, zeroPoint: 0, gridScale: null, gridZeroPoint: 0, exact: false };
  return { name: 'x', shape: [10, 20], dtype, rows, labels: null, ...none };
}

describe('feedsFor', () => {
  it('gives the same numbers every time, in [-1, 1)', () => {
    const [first] = feedsFor([spec('float32')]) as [Float32Array];
    expect(feedsFor([spec('float32')])).toEqual([first]);
    expect(Math.min(...first)).toBeLessThan(-0.8);
    expect(Math.max(...first)).toBeGreaterThan(0.8);
    expect(Math.max(...first.map(Math.abs))).toBeLessThanOrEqual(1);
  });

  it('stays within the rows of a table', () => {
    const [rows] = feedsFor([spec('int32', 7)]) as [Int32Array];
    expect([...new Set(rows)].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const [wide] = feedsFor([spec('int64', 3)]) as [BigInt64Array];
    expect([...new Set(wide)].sort()).toEqual([0n, 1n, 2n]);
  });
});

describe('agree', () => {
  const reference = [Float32Array.of(3, 4), Uint8Array.of(0, 0)];

  it('takes an error of a hundredth of the norm', () => {
    expect(agree([Float32Array.of(3, 4.04), Uint8Array.of(0, 0)], reference)).toBe(true);
  });

  it.each([
    ['a larger one', [Float32Array.of(3, 4.06), Uint8Array.of(0, 0)]],
    ['any of an output of zeros', [Float32Array.of(3, 4), Uint8Array.of(0, 1)]],
    ['what is no number', [Float32Array.of(3, NaN), Uint8Array.of(0, 0)]],
    ['a missing output', [Float32Array.of(3, 4)]],
  ])('refuses %s', (_, results) => {
    expect(agree(results, reference)).toBe(false);
  });
});
