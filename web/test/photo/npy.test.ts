import { describe, expect, it } from 'vitest';

import { PocketpressError } from '../../src/errors';
import { fromHalf, readHalf } from '../../src/photo/npy';

function file(header: string, body: number[]): ArrayBuffer {
  const text = new TextEncoder().encode(header);
  return Uint8Array.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, text.length, 0, ...text, ...body]).buffer;
}

const HEADER = "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2), }  \n";

describe('readHalf', () => {
  it('reads what NumPy writes', () => {
    const { shape, values } = readHalf(file(HEADER, [0x00, 0x3c, 0x00, 0xc0]));
    expect(shape).toEqual([1, 2]);
    expect([...values]).toEqual([1, -2]);
  });

  it.each([
    ['another dtype', file(HEADER.replace('<f2', '<f4'), [0, 0, 0, 0])],
    ['Fortran order', file(HEADER.replace('False', 'True'), [0, 0, 0, 0])],
    ['an object', file("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n", [0])],
    ['a byte too few', file(HEADER, [0, 0, 0])],
    ['a byte too many', file(HEADER, [0, 0, 0, 0, 0])],
    ['more than there may be', file(HEADER.replace('(1, 2)', '(99999, 99999)'), [0, 0, 0, 0])],
    ['no header', new Uint8Array(100).buffer],
    ['nothing', new ArrayBuffer(0)],
  ])('refuses %s', (_, buffer) => {
    expect(() => readHalf(buffer)).toThrow(PocketpressError);
  });
});

describe('fromHalf', () => {
  it.each([
    [0x0000, 0],
    [0x8000, -0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3555, 0.333251953125],
    [0x7bff, 65504],
    [0xfc00, -Infinity],
    [0x7e00, NaN],
  ])('%i is %d', (bits, value) => {
    expect(fromHalf(bits)).toBe(value);
  });
});
