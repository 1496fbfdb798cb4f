/** Arrays as JSON can hold them. */

import type { TypedArray } from '../index';
import type { DType } from '../signature';
import { ARRAYS } from '../tensors';

export interface Packed {
  readonly dtype: DType;
  /** The bytes, little-endian, in base64. */
  readonly data: string;
}

/** Characters that one call of `String.fromCharCode` is given. */
const PART = 1 << 15;

export function bytesOf(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** @throws RangeError where the bytes are no whole number of elements. */
export function arrayOf(dtype: DType, bytes: Uint8Array<ArrayBuffer>): TypedArray {
  return new ARRAYS[dtype](bytes.buffer);
}

export function pack(array: TypedArray, dtype: DType): Packed {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = '';
  for (let at = 0; at < bytes.length; at += PART)
    text += String.fromCharCode(...bytes.subarray(at, at + PART));
  return { dtype, data: btoa(text) };
}
