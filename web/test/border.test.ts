import { describe, expect, it } from 'vitest';

import type { DType, TensorSpec } from '../src/signature';
import { fileToReal, realToFile } from '../src/tensors';
import { floats, vectors } from './vectors';

interface Vector {
  readonly dtype: DType;
  readonly scale: number;
  readonly zero_point: number;
  readonly reals: string;
  readonly held: number[];
  readonly back: string;
}

function specOf({ dtype, scale, zero_point }: Vector): TensorSpec {
  const shape = [1];
  return {
    name: 'x',
    shape,
    dtype,
    scale,
    zeroPoint: zero_point,
    gridScale: null,
    gridZeroPoint: 0,
    exact: false,
    rows: null,
    labels: null,
  };
}

describe.each(vectors<Vector[]>('border'))('$dtype, scale $scale, zero point $zero_point', (vector) => {
  it('holds what Python holds', () => {
    expect([...realToFile(floats(vector.reals), specOf(vector))]).toEqual(vector.held);
  });

  it('stands for the bits that Python gives', () => {
    const held = realToFile(floats(vector.reals), specOf(vector));
    expect(fileToReal(held, specOf(vector))).toEqual(floats(vector.back));
  });
});
