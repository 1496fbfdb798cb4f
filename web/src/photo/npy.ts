/** Reading a NumPy .npy file of float16. */

import { PocketpressError } from '../errors';

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0];
const HEADER = /^\{'descr': '<f2', 'fortran_order': False, 'shape': \(([0-9, ]+)\), \} *\n$/;
const MOST_ELEMENTS = 1 << 22;

/** An array as it was saved, widened to float32. */
export interface Saved {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Parse a version 1.0 .npy file of little-endian float16 values in C order. */
export function readHalf(buffer: ArrayBuffer): Saved {
  const bytes = new Uint8Array(buffer);
  if (bytes.length < 10 || MAGIC.some((value, i) => bytes[i] !== value)) throw damaged('no .npy header');
  const length = bytes[8]! | (bytes[9]! << 8);
  const header = HEADER.exec(String.fromCharCode(...bytes.subarray(10, 10 + length)));
  if (header === null) throw damaged('another dtype or order than float16 in C order');
  const shape = header[1]!
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  const count = shape.reduce((product, size) => product * size, 1);
  const body = bytes.subarray(10 + length);
  if (count > MOST_ELEMENTS || body.length !== count * 2)
    throw damaged(`${body.length} bytes for ${count} values`);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = fromHalf(body[2 * i]! | (body[2 * i + 1]! << 8));
  return { shape, values };
}

/** The value of 16 bits in IEEE 754 binary16. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function damaged(got: string): PocketpressError {
  return new PocketpressError('artifact', 'The colour tables are damaged', {
    got,
    nextStep: 'reload the page',
  });
}
