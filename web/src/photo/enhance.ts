/** The app: levels, thumbnail -> network -> blend of tables -> the whole photo. */

import { GpuLookUp, GpuLost } from './gpu';
import { type Levels, levelsOf, stretch } from './levels';
import { type LookUp, ProcessorLookUp, type Table, blend } from './lut';
import type { Network } from './network';
import { type Pixels, eachStrip } from './photo';
import { ThumbnailBuilder } from './thumbnail';

/** What the network decided for one photo. */
export interface Look {
  readonly levels: Levels;
  readonly table: Table;
  /** Milliseconds that the network took. */
  readonly networkMs: number;
}

/** Options of everything that goes through a whole photo. */
export interface Patience {
  readonly signal?: AbortSignal;
  readonly progress?: (share: number) => void;
}

/** Look at every pixel of a photo and ask the network. */
export async function see(pixels: Pixels, network: Network, patience: Patience = {}): Promise<Look> {
  const builder = new ThumbnailBuilder(pixels.width, pixels.height);
  await eachStrip(pixels, (data) => (builder.add(data), false), patience);
  const thumbnail = builder.finish();
  const levels = levelsOf(thumbnail);
  const started = performance.now();
  const weights = await network.predict(stretch(thumbnail, levels), patience.signal);
  const networkMs = performance.now() - started;
  return { levels, table: blend(network.tables, weights), networkMs };
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
          lookUp.close();
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
