import { describe, expect, it } from 'vitest';

import { LEAST_SPAN, type Levels, levelsOf, stretch } from '../../src/photo/levels';
import { blend, ProcessorLookUp, type Table } from '../../src/photo/lut';

const NO_CHANGE: Levels = { low: new Float32Array(3), span: new Float32Array([1, 1, 1]) };

/** A table of 2 x 2 x 2 colours from a function of the corner. */
function table(colour: (r: number, g: number, b: number) => [number, number, number]): Table {
  const corners = [0, 1].flatMap((r) => [0, 1].flatMap((g) => [0, 1].map((b) => colour(r, g, b))));
  return { size: 2, values: Float32Array.from(corners.flat()) };
}

function applied(made: Table, pixel: [number, number, number], levels = NO_CHANGE): number[] {
  const pixels = Uint8ClampedArray.from([...pixel, 77]);
  new ProcessorLookUp(made, levels).apply(pixels, 1, 1);
  return [...pixels];
}

describe('ProcessorLookUp', () => {
  it('changes nothing with the identity', () => {
    expect(
      applied(
        table((r, g, b) => [r, g, b]),
        [1, 128, 255],
      ),
    ).toEqual([1, 128, 255, 77]);
  });

  it('knows the axes apart', () => {
    expect(
      applied(
        table((r, g, b) => [g, b, r]),
        [10, 20, 30],
      ),
    ).toEqual([20, 30, 10, 77]);
  });

  it('interpolates between all eight corners', () => {
    // one at white only: the product of the three shares, 0.2 x 0.4 x 0.6 x 255 = 12.24
    expect(
      applied(
        table((r, g, b) => [r * g * b, 0, 0]),
        [51, 102, 153],
      ),
    ).toEqual([12, 0, 0, 77]);
  });

  it('cuts after interpolating', () => {
    // -1 to 3 along red: 51 is a fifth of the way, -0.2; 204 is 2.2
    const steep = table((r) => [-1 + 4 * r, 0, 0]);
    expect([51, 204, 85].map((red) => applied(steep, [red, 0, 0])[0])).toEqual([0, 255, 85]);
  });

  it('rounds half to even, as NumPy does', () => {
    const half = (value: number): Table => table(() => [value / 255, 0, 0]);
    // halves of 255 are exact in float32 for these only when the product is: 63.75 / 255 = 0.25
    expect(applied(half(63.75), [0, 0, 0])[0]).toBe(64);
    expect([0.5, 1.5, 2.5].map((value) => new Uint8ClampedArray([value])[0])).toEqual([0, 2, 2]);
  });

  it('stretches levels first', () => {
    const levels = { low: Float32Array.from([0.2, 0, 0]), span: Float32Array.from([0.4, 1, 1]) };
    const identity = table((r, g, b) => [r, g, b]);
    expect([51, 103, 153, 204].map((red) => applied(identity, [red, 0, 0], levels)[0])).toEqual([
      0, 130, 255, 255,
    ]);
  });
});

describe('blend', () => {
  const tables = { shape: [3, 1, 1, 1, 3], values: Float32Array.from([1, 2, 3, 10, 20, 30, 100, 0, -100]) };

  it('adds weighted offsets to the first table', () => {
    expect([...blend(tables, Float32Array.from([0.5, 2])).values]).toEqual([206, 12, -182]);
  });

  it('refuses another number of weights', () => {
    expect(() => blend(tables, new Float32Array(3))).toThrow('got 3, the tables need 2');
  });
});

describe('levels', () => {
  it('are the extremes of each channel', () => {
    const { low, span } = levelsOf(Float32Array.from([0.25, 0.5, 0.5, 0.75, 0.5, 1]));
    expect([...low]).toEqual([0.25, 0.5, 0.5]);
    expect([...span]).toEqual([0.5, LEAST_SPAN, 0.5]);
  });

  it('stretch to the whole range and cut', () => {
    const levels = { low: Float32Array.from([0.25, 0, 0]), span: Float32Array.from([0.5, 1, 1]) };
    expect([...stretch(Float32Array.from([0.5, 0.5, 2, 0, -1, 1]), levels)]).toEqual([0.5, 0.5, 1, 0, 0, 1]);
  });
});
