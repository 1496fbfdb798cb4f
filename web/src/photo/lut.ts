/** 3-D colour tables: blend a few into one, and look colours up in it on the processor. */

import type { Levels } from './levels';
import type { Saved } from './npy';

/** A cube of colours: `values[((r * size + g) * size + b) * 3 + channel]`, not cut to [0, 1]. */
export interface Table {
  readonly size: number;
  readonly values: Float32Array;
}

/** Changes the colours of RGBA bytes in place. */
export interface LookUp {
  readonly name: 'WebGL2' | 'processor';
  /** Change `width` x `height` pixels; alpha stays. */
  apply(pixels: Uint8ClampedArray, width: number, height: number): void;
  /** Give the memory back. */
  close(): void;
}

/**
 * The first table plus the weighted sum of the others: the image-adaptive table of one photo.
 *
 * Zeng et al., "Learning Image-adaptive 3D Lookup Tables", TPAMI 2020, eq. (2).
 *
 * @param tables shape (K + 1, size, size, size, 3)
 * @param weights K numbers, as the network returned them
 */
export function blend(tables: Saved, weights: Float32Array): Table {
  const [count, size] = tables.shape as [number, number];
  if (weights.length !== count - 1) {
    throw new Error(`weights: got ${weights.length}, the tables need ${count - 1}`);
  }
  const length = tables.values.length / count;
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (let k = 0; k < weights.length; k++) sum += weights[k]! * tables.values[(k + 1) * length + i]!;
    values[i] = tables.values[i]! + Math.fround(sum);
  }
  return { size, values };
}

/** Trilinear interpolation on the processor; rounds half to even, as `apps/photo/lut.py`. */
export class ProcessorLookUp implements LookUp {
  readonly name = 'processor';
  private readonly cells: Uint16Array[] = [];
  private readonly shares: Float64Array[] = [];

  /** Where each of the 256 byte values of each channel falls is known before the photo is. */
  constructor(
    private readonly table: Table,
    levels: Levels,
  ) {
    for (let channel = 0; channel < 3; channel++) {
      const cells = new Uint16Array(256);
      const shares = new Float64Array(256);
      for (let byte = 0; byte < 256; byte++) {
        const colour = (byte / 255 - levels.low[channel]!) / levels.span[channel]!;
        const position = Math.min(Math.max(colour, 0), 1) * (table.size - 1);
        cells[byte] = Math.min(Math.trunc(position), table.size - 2);
        shares[byte] = position - cells[byte]!;
      }
      this.cells.push(cells);
      this.shares.push(shares);
    }
  }

  apply(pixels: Uint8ClampedArray, width: number, height: number): void {
    const { size, values } = this.table;
    const [reds, greens, blues] = this.cells as [Uint16Array, Uint16Array, Uint16Array];
    const [redShares, greenShares, blueShares] = this.shares as [Float64Array, Float64Array, Float64Array];
    const right = 3;
    const up = 3 * size;
    const back = 3 * size * size;
    const end = width * height * 4;
    for (let at = 0; at < end; at += 4) {
      const red = pixels[at]!;
      const green = pixels[at + 1]!;
      const blue = pixels[at + 2]!;
      const corner = reds[red]! * back + greens[green]! * up + blues[blue]! * right;
      const r = redShares[red]!;
      const g = greenShares[green]!;
      const b = blueShares[blue]!;
      for (let channel = 0; channel < 3; channel++) {
        const c = corner + channel;
        const near =
          (1 - g) * ((1 - b) * values[c]! + b * values[c + right]!) +
          g * ((1 - b) * values[c + up]! + b * values[c + up + right]!);
        const d = c + back;
        const far =
          (1 - g) * ((1 - b) * values[d]! + b * values[d + right]!) +
          g * ((1 - b) * values[d + up]! + b * values[d + up + right]!);
        // a Uint8ClampedArray cuts, and rounds half to even
        pixels[at + channel] = 255 * ((1 - r) * near + r * far);
      }
    }
  }

  close(): void {}
}
