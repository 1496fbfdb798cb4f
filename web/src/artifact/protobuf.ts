/** A reader of protocol buffers' wire format that trusts nothing.
 *
 * Source of the format: https://protobuf.dev/programming-guides/encoding. */

import { Damaged } from './flatbuffer';

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;
const MAX_VARINT_BYTES = 10;

/** One field as it stands on the wire; `number` is of varints (the low 32 bits), `bytes` of what has a length. */
export interface Field {
  readonly id: number;
  readonly number: number;
  readonly bytes: Uint8Array | null;
}

/** All fields of a message, in order. */
export function* fieldsOf(message: Uint8Array): Generator<Field> {
  const end = message.byteLength;
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let i = 0; i < MAX_VARINT_BYTES; i++) {
      const byte = message[at++];
      if (byte === undefined) throw new Damaged('a number is cut off');
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return value;
    }
    throw new Damaged('a number is too long');
  };
  while (at < end) {
    const key = varint();
    const id = Math.floor(key / 8);
    const wire = key % 8;
    if (id < 1 || id >= 2 ** 29) throw new Damaged('a field number is out of range');
    if (wire === VARINT) {
      yield { id, number: varint(), bytes: null };
      continue;
    }
    const length = wire === BYTES ? varint() : wire === FIXED32 ? 4 : wire === FIXED64 ? 8 : -1;
    if (length < 0) throw new Damaged('an unknown wire type');
    if (length > end - at) throw new Damaged('a field is cut off');
    yield { id, number: 0, bytes: message.subarray(at, at + length) };
    at += length;
  }
}
