import { describe, expect, it } from 'vitest';

import type { TensorSpec } from '../src/signature';
import { fileToReal, realToFile, roundHalfEven, toFeeds } from '../src/tensors';

function spec(changes: Partial<TensorSpec>): TensorSpec {
  return {
    name: 'x',
    shape: [4],
    dtype: 'float32',
    scale: null,
    zeroPoint: 0,
    gridScale: null,
    gridZeroPoint: 0,
    exact: false,
    rows: null,
    labels: null,
    ...changes,
  };
}

describe('roundHalfEven', () => {
  it.each([
    [0.5, 0],
    [1.5, 2],
    [2.5, 2],
    [-0.5, 0],
    [-1.5, -2],
    [-2.5, -2],
    [0.49999997, 0],
    [3.2, 3],
    [-3.7, -4],
  ])('%f is %f', (value, rounded) => {
    expect(roundHalfEven(value)).toBe(rounded);
  });
});

describe('realToFile', () => {
  it('divides by the scale, rounds half to even, adds the zero point and saturates', () => {
    const result = realToFile(
      Float32Array.of(0.25, 0.75, 1000, -1000),
      spec({ dtype: 'int8', scale: 0.5, zeroPoint: 3 }),
    );
    expect(result).toEqual(Int8Array.of(3, 5, 127, -128));
  });

  it('leaves values without a scale as they are', () => {
    const values = Float32Array.of(1, 2, 3, 4);
    expect(realToFile(values, spec({}))).toBe(values);
  });
});

describe('fileToReal', () => {
  it('subtracts the zero point and multiplies by the float32 scale', () => {
    const result = fileToReal(
      Uint8Array.of(0, 10, 255, 11),
      spec({ dtype: 'uint8', scale: 0.1, zeroPoint: 10 }),
    );
    const step = Math.fround(0.1);
    expect(result).toEqual(Float32Array.of(-10 * step, 0, Math.fround(245 * step), step));
  });
});

describe('toFeeds', () => {
  const specs = [spec({ name: 'a' }), spec({ name: 'b', shape: [2], dtype: 'int32', rows: 7 })];
  const a = new Float32Array(4);

  it('orders inputs as the signature does', () => {
    expect(toFeeds(specs, { b: Int32Array.of(6, 0), a })).toEqual([a, Int32Array.of(6, 0)]);
  });

  it.each([
    [{ a }, 'input missing; allowed: b'],
    [{ a, b: new Int32Array(2), c: a }, 'unknown input: got c; allowed: a, b'],
    [
      { a: new Float32Array(3), b: new Int32Array(2) },
      'input a has another size: got 3 values; allowed: 4 of shape (4)',
    ],
    [{ a, b: new Float32Array(2) }, 'input b has another dtype: got Float32Array; allowed: int32'],
    [{ a, b: Int32Array.of(0, 7) }, 'input b is no row of its table: got 7; allowed: 0 to 6'],
    [{ a, b: Int32Array.of(-1, 0) }, 'input b is no row of its table: got -1; allowed: 0 to 6'],
  ])('refuses %o', (inputs, message) => {
    expect(() => toFeeds(specs, inputs as Record<string, Float32Array>)).toThrow(message);
  });
});
