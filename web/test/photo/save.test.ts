import { describe, expect, it } from 'vitest';

import { nameOf } from '../../src/photo/save';

describe('nameOf', () => {
  it.each([
    ['IMG_1.HEIC', 'jpeg', 'IMG_1-enhanced.jpg'],
    ['a.b.png', 'png', 'a.b-enhanced.png'],
    ['noname', 'jpeg', 'noname-enhanced.jpg'],
    ['.jpg', 'jpeg', 'photo-enhanced.jpg'],
  ] as const)('%s as %s is %s', (name, format, saved) => {
    expect(nameOf(name, format)).toBe(saved);
  });
});
