import { describe, expect, it } from 'vitest';

import { withoutOrientation } from '../src/image/metadata';

function bytes(...parts: (string | number[])[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(
    parts.flatMap((part) =>
      typeof part === 'string' ? [...part].map((character) => character.charCodeAt(0)) : part,
    ),
  );
}

function joined(parts: Uint8Array[]): number[] {
  return parts.flatMap((part) => [...part]);
}

/** A segment of a JPEG: the length counts itself. */
function segment(marker: number, text: string): Uint8Array {
  return bytes([0xff, marker, 0, text.length + 2], text);
}

function chunk(name: string, text: string): Uint8Array {
  return bytes([0, 0, 0, text.length], name, text, [1, 2, 3, 4]);
}

describe('withoutOrientation', () => {
  const start = [0xff, 0xd8];
  const scan = [...segment(0xda, 'x'), ...bytes('pixels', [0xff, 0xe1, 0, 8], 'Exif\0\0')];

  it('leaves out the EXIF segment of a JPEG, and nothing else', () => {
    const kept = [...segment(0xe0, 'JFIF\0'), ...segment(0xe1, 'http://ns.adobe.com/xap/1.0/\0')];
    const image = Uint8Array.from([...start, ...kept, ...segment(0xe1, 'Exif\0\0turned'), ...scan]);
    expect(joined(withoutOrientation(image))).toEqual([...start, ...kept, ...scan]);
  });

  it('leaves out the EXIF chunk of a PNG, before the pixels and after', () => {
    const head = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
    const [pixels, end] = [chunk('IDAT', 'eXIf'), chunk('IEND', '')];
    const image = Uint8Array.from([
      ...head,
      ...chunk('eXIf', 'turned'),
      ...pixels,
      ...chunk('eXIf', ''),
      ...end,
    ]);
    expect(joined(withoutOrientation(image))).toEqual([...head, ...pixels, ...end]);
  });

  it.each([
    ['nothing', bytes()],
    ['text', bytes('no image')],
    [
      'a JPEG that ends in a segment',
      Uint8Array.from([...start, ...segment(0xe1, 'Exif\0\0').subarray(0, 7)]),
    ],
    ['a JPEG that ends in a length', Uint8Array.from([...start, 0xff, 0xe1, 0])],
    ['a JPEG whose segment has no length', Uint8Array.from([...start, 0xff, 0xe1, 0, 0, 0, 0])],
    [
      'a PNG that ends in a chunk',
      bytes([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 1, 0], 'eXIf'),
    ],
  ])('gives back %s', (_, image) => {
    expect(joined(withoutOrientation(image))).toEqual([...image]);
  });
});
