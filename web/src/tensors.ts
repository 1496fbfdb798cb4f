/** Real values and the file's: bit for bit what Python's `core/target.py` and `core/session.py` do. */

import { PocketpressError } from './errors';
import { type DType, elements, type TensorSpec } from './signature';

export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** A named result: real values at a static shape. */
export interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: TypedArray;
}

/** What holds the values of a dtype. */
export const ARRAYS = {
  float32: Float32Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
} as const;

const RANGES: Partial<Record<DType, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  int32: [-2147483648, 2147483647],
};

/** An array of zeros of a dtype; booleans are bytes. */
export function allocate(dtype: DType, length: number): TypedArray {
  return new ARRAYS[dtype](length);
}

/** Whether `array` is how values of `dtype` are held. */
export function holds(array: TypedArray, dtype: DType): boolean {
  return array instanceof ARRAYS[dtype];
}

/** Nearest whole number, ties to even, as `numpy.rint`. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest < 0.5) return floor;
  if (rest > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Real values to the file's dtype: cast, or `clip(rint(x * (1/scale)) + zeroPoint)` in float32. */
export function realToFile(values: TypedArray, spec: TensorSpec): TypedArray {
  const { dtype, scale, zeroPoint } = spec;
  if (scale === null) return cast(values, dtype);
  const range = RANGES[dtype];
  if (range === undefined) throw new PocketpressError('internal', `a scale of ${dtype}`);
  const [least, most] = range;
  const inverse = Math.fround(1 / Math.fround(scale));
  const result = allocate(dtype, values.length) as Exclude<TypedArray, BigInt64Array | BigUint64Array>;
  for (let i = 0; i < values.length; i++) {
    const scaled = Math.fround(Math.fround(Number(values[i])) * inverse);
    const grid = Math.fround(roundHalfEven(scaled) + Math.fround(zeroPoint));
    result[i] = Math.min(Math.max(grid, least), most);
  }
  return result;
}

/** The file's values to real values: float32 where there is a scale, else as they are. */
export function fileToReal(values: TypedArray, spec: TensorSpec): TypedArray {
  const { scale, zeroPoint } = spec;
  if (scale === null) return values;
  const step = Math.fround(scale);
  const result = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    result[i] = Math.fround(Math.fround((Number(values[i]) - zeroPoint) | 0) * step);
  }
  return result;
}

function cast(values: TypedArray, dtype: DType): TypedArray {
  if (holds(values, dtype) && dtype !== 'bool') return values;
  const result = allocate(dtype, values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number | bigint;
    if (dtype === 'bool') result[i] = Number(value) !== 0 ? 1 : 0;
    else if (dtype === 'int64') result[i] = typeof value === 'bigint' ? value : BigInt(Math.trunc(value));
    else result[i] = Number(value);
  }
  return result;
}

/**
 * Real values to feeds in signature order.
 *
 * @throws PocketpressError of kind `artifact`: an input is missing, unknown, of another size or not numeric, or is
 *   no row of the table that it is looked up in.
 */
export function toFeeds(
  specs: readonly TensorSpec[],
  inputs: Readonly<Record<string, TypedArray>>,
): TypedArray[] {
  const names = specs.map((spec) => spec.name);
  const unknown = Object.keys(inputs).filter((name) => !names.includes(name));
  if (unknown.length > 0)
    throw new PocketpressError('artifact', 'unknown input', { got: unknown, allowed: names });
  return specs.map((spec) => toFeed(spec, inputs[spec.name]));
}

/** One input, checked and converted; as `toFeeds`. */
export function toFeed(spec: TensorSpec, value: TypedArray | undefined): TypedArray {
  if (value === undefined) throw new PocketpressError('artifact', 'input missing', { allowed: spec.name });
  if (!ArrayBuffer.isView(value) || value instanceof DataView) {
    throw new PocketpressError('artifact', `input ${spec.name} is not numeric`, {
      got: typeof value,
      allowed: 'Float32Array',
    });
  }
  if (value.length !== elements(spec.shape)) {
    throw new PocketpressError('artifact', `input ${spec.name} has another size`, {
      got: `${value.length} values`,
      allowed: `${elements(spec.shape)} of shape (${spec.shape.join(', ')})`,
    });
  }
  const float = value instanceof Float32Array || value instanceof Float64Array;
  if (['int32', 'int64'].includes(spec.dtype) && spec.scale === null && float) {
    throw new PocketpressError('artifact', `input ${spec.name} has another dtype`, {
      got: value.constructor.name,
      allowed: spec.dtype,
    });
  }
  if (spec.rows !== null) checkRows(spec.name, value, spec.rows);
  return realToFile(value, spec);
}

/** Runtimes differ about an index that is no row: an error, or a row counted from the end. */
function checkRows(name: string, value: TypedArray, rows: number): void {
  for (const index of value) {
    if (index < 0 || index >= rows) {
      throw new PocketpressError('artifact', `input ${name} is no row of its table`, {
        got: String(index),
        allowed: `0 to ${rows - 1}`,
      });
    }
  }
}

/** Check feeds that are in the file's own dtypes already. */
export function checkFeeds(specs: readonly TensorSpec[], feeds: readonly TypedArray[]): void {
  if (feeds.length !== specs.length) {
    throw new PocketpressError('artifact', 'another number of inputs', {
      got: feeds.length,
      allowed: specs.length,
    });
  }
  specs.forEach((spec, i) => {
    const feed = feeds[i] as TypedArray;
    if (!holds(feed, spec.dtype) || feed.length !== elements(spec.shape)) {
      throw new PocketpressError('artifact', `input ${spec.name} does not fit`, {
        got: `${feed?.constructor?.name} of ${feed?.length}`,
        allowed: `${spec.dtype} of ${elements(spec.shape)}`,
      });
    }
    if (spec.rows !== null) checkRows(spec.name, feed, spec.rows);
  });
}

/** Results of the runtime, in signature order, as named real values. */
export function toTensors(
  specs: readonly TensorSpec[],
  results: readonly TypedArray[],
): Record<string, Tensor> {
  return Object.fromEntries(
    specs.map((spec, i) => {
      const data = fileToReal(results[i] as TypedArray, spec);
      return [spec.name, { name: spec.name, shape: spec.shape, data }];
    }),
  );
}
