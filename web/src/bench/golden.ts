/** Golden samples: how they lie in the bytes that came, and how far outputs are from them.
 *
 * The counts are those of Python's `verify/parity.py`; what follows from the reference alone is computed there. */

import { PocketpressError } from '../errors';
import { ARRAYS, fileToReal, roundHalfEven, type TypedArray } from '../tensors';
import type { DType, TensorSpec } from '../signature';
import type { Agreement, Golden, GoldenOutput, OutputAgreement } from './protocol';

const LARGEST = 3.4028234663852886e38;
const MOST_STEPS = 2 ** 31 - 1;
const BYTES: Record<DType, number> = { float32: 4, int8: 1, uint8: 1, int16: 2, int32: 4, int64: 8, bool: 1 };

export interface Sample {
  /** In the file's dtypes and the signature's order. */
  readonly feeds: TypedArray[];
  /** What the reference computes, real values. */
  readonly reference: Float32Array[];
  /** What the float network computes, or null. */
  readonly floats: Float32Array[] | null;
}

/**
 * Read samples.
 *
 * @throws PocketpressError: the bytes are not as many as the layout says.
 */
export function readSamples(bytes: ArrayBuffer, layout: Golden): Sample[] {
  const perSample =
    layout.inputs.reduce((sum, i) => sum + i.elements * BYTES[i.dtype], 0) +
    layout.outputs.reduce((sum, o) => sum + o.elements * 4, 0) * (layout.floats ? 2 : 1);
  if (perSample * layout.samples !== bytes.byteLength) {
    throw new PocketpressError('device', 'the golden samples are incomplete', {
      got: `${bytes.byteLength} bytes`,
      allowed: perSample * layout.samples,
    });
  }
  let at = 0;
  const take = (dtype: DType, elements: number): TypedArray => {
    const size = elements * BYTES[dtype];
    const part = bytes.slice(at, at + size);
    at += size;
    return new ARRAYS[dtype](part);
  };
  const outputs = (): Float32Array[] =>
    layout.outputs.map((o) => take('float32', o.elements) as Float32Array);
  return Array.from({ length: layout.samples }, () => ({
    feeds: layout.inputs.map((i) => take(i.dtype, i.elements)),
    reference: outputs(),
    floats: layout.floats ? outputs() : null,
  }));
}

/** Adds up how outputs agree, sample by sample. */
export class Comparison {
  private readonly sums: Mutable<OutputAgreement>[];
  private samples = 0;
  private argmaxEqual = 0;

  constructor(
    private readonly layout: Golden,
    private readonly specs: readonly TensorSpec[],
  ) {
    this.sums = layout.outputs.map((output) => ({
      name: output.name,
      elements: 0,
      equal: 0,
      within_1: 0,
      max_steps: 0,
      max_abs: 0,
      signal: 0,
      noise: 0,
      float_signal: layout.floats ? 0 : null,
      float_noise: layout.floats ? 0 : null,
    }));
  }

  /** Outputs of one sample, in the file's dtypes and the signature's order. */
  add(results: readonly TypedArray[], sample: Sample): void {
    this.layout.outputs.forEach((output, i) => {
      const got = fileToReal(results[i] as TypedArray, this.specs[i] as TensorSpec);
      const reference = sample.reference[i] as Float32Array;
      addUp(this.sums[i] as Mutable<OutputAgreement>, output, got, reference, sample.floats?.[i] ?? null);
      if (i === 0 && argmax(got) === argmax(reference)) this.argmaxEqual++;
    });
    this.samples++;
  }

  get agreement(): Agreement {
    return { samples: this.samples, argmax_equal: this.argmaxEqual, outputs: this.sums };
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

function addUp(
  sum: Mutable<OutputAgreement>,
  output: GoldenOutput,
  got: TypedArray,
  reference: Float32Array,
  floats: Float32Array | null,
): void {
  for (let i = 0; i < reference.length; i++) {
    const a = Number(got[i]);
    const b = reference[i] as number;
    const apart = difference(a, b);
    const steps = stepsApart(output, a, b, apart);
    sum.elements++;
    if (steps === 0) sum.equal++;
    if (steps <= 1) sum.within_1++;
    sum.max_steps = Math.max(sum.max_steps, steps);
    sum.max_abs = Math.max(sum.max_abs, apart);
    sum.signal += finite(b) ** 2;
    sum.noise += apart ** 2;
    if (floats !== null) {
      const original = floats[i] as number;
      sum.float_signal = (sum.float_signal ?? 0) + finite(original) ** 2;
      sum.float_noise = (sum.float_noise ?? 0) + difference(original, a) ** 2;
    }
  }
}

/** Whole steps of the output's grid, or of its tolerance where it is computed in float. */
function stepsApart(output: GoldenOutput, a: number, b: number, apart: number): number {
  const scale = output.grid_scale;
  const steps =
    scale === null
      ? apart / output.tolerance
      : difference(roundHalfEven(a / scale), roundHalfEven(b / scale));
  return Math.min(output.exact || scale !== null ? Math.ceil(steps) : steps, MOST_STEPS);
}

/** The largest float32 where only one side is NaN or infinite: a wreck stays a number. */
function difference(a: number, b: number): number {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return 0;
  const far = Math.abs(a - b);
  return Number.isNaN(far) ? LARGEST : Math.min(far, LARGEST);
}

function finite(value: number): number {
  return Number.isNaN(value) ? 0 : Math.max(-LARGEST, Math.min(LARGEST, value));
}

function argmax(values: TypedArray): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    const value = values[i] as number | bigint;
    const most = values[best] as number | bigint;
    if (value > most || (Number.isNaN(Number(value)) && !Number.isNaN(Number(most)))) best = i;
  }
  return best;
}
