import { describe, expect, it } from 'vitest';

import { ThumbnailBuilder } from '../../src/photo/thumbnail';

/** RGBA bytes of a grey picture. */
function grey(values: number[]): Uint8ClampedArray {
  return Uint8ClampedArray.from(values.flatMap((value) => [value, value, value, 255]));
}

/** The red channel of a thumbnail, in bytes. */
function reds(thumbnail: Float32Array): number[] {
  return Array.from(
    thumbnail.filter((_, i) => i % 3 === 0),
    (value) => value * 255,
  );
}

describe('ThumbnailBuilder', () => {
  it('averages whole cells', () => {
    const builder = new ThumbnailBuilder(4, 2, 2);
    builder.add(grey([0, 10, 20, 30, 40, 50, 60, 70]));
    // size 2: columns (0, 1) and (2, 3), each row for itself
    expect(reds(builder.finish()).map(Math.round)).toEqual([5, 25, 45, 65]);
  });

  it('shares a pixel that lies in two cells', () => {
    const builder = new ThumbnailBuilder(3, 1, 2);
    builder.add(grey([30, 60, 90]));
    // cells of 1.5 pixels: (30 + 60 / 2) / 1.5 and (60 / 2 + 90) / 1.5; both rows are the one row
    expect(reds(builder.finish()).map(Math.round)).toEqual([40, 80, 40, 80]);
  });

  it('repeats pixels of a photo that is smaller than it', () => {
    const builder = new ThumbnailBuilder(1, 1, 3);
    builder.add(grey([200]));
    expect(reds(builder.finish()).map(Math.round)).toEqual(Array(9).fill(200));
  });

  it('is the same for strips of any height', () => {
    const [width, height] = [37, 300];
    const pixels = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => (i * 7919) % 256);
    const whole = new ThumbnailBuilder(width, height, 16);
    whole.add(pixels);
    const parts = new ThumbnailBuilder(width, height, 16);
    for (let row = 0; row < height; row += 11)
      parts.add(pixels.subarray(row * width * 4, (row + 11) * width * 4));
    expect(parts.finish()).toEqual(whole.finish());
  });

  it('keeps the mean of the photo', () => {
    const [width, height] = [611, 407];
    const pixels = Uint8ClampedArray.from({ length: width * height * 4 }, (_, i) => (i * 2654435761) % 251);
    const builder = new ThumbnailBuilder(width, height, 16);
    builder.add(pixels);
    const mean = (values: ArrayLike<number>): number =>
      Array.from(values).reduce((a, b) => a + b) / values.length;
    const red = pixels.filter((_, i) => i % 4 === 0);
    expect(mean(reds(builder.finish()))).toBeCloseTo(mean(red), 4);
  });

  it('refuses to finish early', () => {
    const builder = new ThumbnailBuilder(2, 2, 2);
    builder.add(grey([1, 2]));
    expect(() => builder.finish()).toThrow('got 1 of 2 rows');
  });
});
