/** The thumbnail that the network looks at: exact area averages of the photo, fed row by row. */

/** Height and width of the thumbnail; the photo's aspect ratio is not kept. */
export const THUMBNAIL_PIXELS = 256;

/**
 * Averages a photo of any size into `THUMBNAIL_PIXELS` squared cells, without holding the photo.
 *
 * The same sums in the same order as `apps/photo/thumbnail.py`, in float64: equal to it to the last bit.
 */
export class ThumbnailBuilder {
  private readonly sums: Float64Array;
  private readonly lastEdge: Float64Array;
  private readonly row: Float64Array;
  private readonly values: Float32Array;
  private readonly columns: Edges;
  private readonly rows: Edges;
  private y = 0;
  private done = 0;

  constructor(
    readonly width: number,
    readonly height: number,
    readonly size = THUMBNAIL_PIXELS,
  ) {
    this.columns = edgesOf(width, size);
    this.rows = edgesOf(height, size);
    this.sums = new Float64Array(size * 3);
    this.lastEdge = new Float64Array(size * 3);
    this.row = new Float64Array(size * 3);
    this.values = new Float32Array(size * size * 3);
  }

  /** Add the next rows: RGBA bytes, `width` pixels a row; alpha is not looked at. */
  add(pixels: Uint8ClampedArray): void {
    const stride = this.width * 4;
    for (let start = 0; start + stride <= pixels.length; start += stride) {
      this.averageRow(pixels, start);
      this.finishCells();
      for (let i = 0; i < this.row.length; i++) this.sums[i]! += this.row[i]!;
      this.y++;
    }
  }

  /** The thumbnail, float32 in [0, 1], shape (size, size, 3), when all rows were added. */
  finish(): Float32Array {
    if (this.done <= this.size) throw new Error(`thumbnail: got ${this.y} of ${this.height} rows`);
    return this.values;
  }

  /** One row of the photo to `size` averages along it. */
  private averageRow(pixels: Uint8ClampedArray, start: number): void {
    const { cell, inside } = this.columns;
    const share = this.size / this.width;
    for (let channel = 0; channel < 3; channel++) {
      let sum = 0;
      let x = 0;
      let last = 0;
      for (let edge = 0; edge <= this.size; edge++) {
        for (const until = cell[edge]!; x < until; x++) sum += pixels[start + x * 4 + channel]!;
        const here = sum + inside[edge]! * pixels[start + cell[edge]! * 4 + channel]!;
        if (edge > 0) this.row[(edge - 1) * 3 + channel] = (here - last) * share;
        last = here;
      }
    }
  }

  /** Write the thumbnail's rows that end in the photo's row `y`; the last one ends at the end of the last. */
  private finishCells(): void {
    const { cell, inside } = this.rows;
    const share = this.size / this.height;
    const width = this.row.length;
    for (; cell[this.done] === this.y; this.done++) {
      for (let i = 0; i < width; i++) {
        const here = this.sums[i]! + inside[this.done]! * this.row[i]!;
        if (this.done > 0) {
          this.values[(this.done - 1) * width + i] = ((here - this.lastEdge[i]!) * share) / 255;
        }
        this.lastEdge[i] = here;
      }
    }
  }
}

interface Edges {
  /** The sample that each edge lies in. */
  readonly cell: Int32Array;
  /** How far into it, 0 to 1. */
  readonly inside: Float64Array;
}

function edgesOf(length: number, size: number): Edges {
  const cell = new Int32Array(size + 1);
  const inside = new Float64Array(size + 1);
  for (let edge = 0; edge <= size; edge++) {
    const at = edge * (length / size);
    cell[edge] = Math.min(Math.trunc(at), length - 1);
    inside[edge] = at - cell[edge]!;
  }
  return { cell, inside };
}
