/** The app: levels, thumbnail -> network -> blend of tables -> the whole photo. */

import { GpuLookUp, GpuLost } from './gpu';
import { type Levels, levelsOf, stretch } from './levels';
import { type LookUp, ProcessorLookUp, type Table, blend } from './lut';
import type { Network } from './network';
import { type Photo, type Pixels, decode, eachStrip, release, shrink } from './photo';
import { ThumbnailBuilder } from './thumbnail';

/** What the network decided for one photo. */
export interface Look {
  readonly levels: Levels;
  readonly table: Table;
  /** Milliseconds that the network took. */
  readonly networkMs: number;
}

/** A photo looked at: the decision, and a small copy to show. */
export interface Seen {
  readonly look: Look;
  readonly preview: Pixels;
}

/** Options of everything that goes through a whole photo. */
export interface Patience {
  readonly signal?: AbortSignal;
  readonly progress?: (share: number) => void;
}

/** Look at every pixel of a photo, ask the network, and keep a copy of at most `longest` pixels a side. */
export async function see(
  photo: Photo,
  network: Network,
  longest: number,
  patience: Patience = {},
): Promise<Seen> {
  const pixels = await decode(photo);
  try {
    const builder = new ThumbnailBuilder(pixels.width, pixels.height);
    await eachStrip(pixels, (data) => (builder.add(data), false), patience);
    const thumbnail = builder.finish();
    const levels = levelsOf(thumbnail);
    const started = performance.now();
    const weights = await network.predict(stretch(thumbnail, levels), patience.signal);
    const networkMs = performance.now() - started;
    const look = { levels, table: blend(network.tables, weights), networkMs };
    return { look, preview: shrink(pixels, longest) };
  } finally {
    release(pixels);
  }
}

/**
 * Apply a look to pixels in place, with WebGL2 where there is one.
 *
 * @returns what computed it
 */
export async function enhance(pixels: Pixels, look: Look, patience: Patience = {}): Promise<LookUp['name']> {
  let lookUp: LookUp =
    GpuLookUp.open(look.table, look.levels) ?? new ProcessorLookUp(look.table, look.levels);
  try {
    await eachStrip(
      pixels,
      (data, width, height) => {
        try {
          lookUp.apply(data, width, height);
        } catch (error) {
          if (!(error instanceof GpuLost)) throw error;
          lookUp = new ProcessorLookUp(look.table, look.levels); // the strip is as it was
          lookUp.apply(data, width, height);
        }
        return true;
      },
      patience,
    );
  } finally {
    lookUp.close();
  }
  return lookUp.name;
}
