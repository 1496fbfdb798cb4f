import { describe, expect, it } from 'vitest';

import { isHeic } from '../../src/photo/photo';

describe('isHeic', () => {
  it.each([
    ['an iPhone', '\0\0\0\x18ftypheic\0\0\0\0mif1heic', true],
    ['one that names the container first', '\0\0\0\x18ftypmif1\0\0\0\0miafheix', true],
    ['AVIF', '\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf', false],
    ['a film', '\0\0\0\x18ftypmp42\0\0\0\0isommp42', false],
    ['text', 'heic heic heic heic', false],
    ['nothing', '', false],
  ])('%s', (_, text, heic) => {
    expect(isHeic(Uint8Array.from(text, (character) => character.charCodeAt(0)))).toBe(heic);
  });
});
