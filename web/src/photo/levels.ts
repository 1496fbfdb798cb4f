/** Levels: the darkest and the brightest value of each channel, and the stretch that makes them 0 and 1. */

/** Smallest distance of a channel's levels: an empty channel is not blown up to noise. */
export const LEAST_SPAN = Math.fround(8 / 255);

/** The levels of one photo, red, green, blue, in [0, 1]. */
export interface Levels {
  readonly low: Float32Array;
  readonly span: Float32Array;
}

/** The levels of a thumbnail in [0, 1], channels last. */
export function levelsOf(thumbnail: Float32Array): Levels {
  const low = new Float32Array([1, 1, 1]);
  const high = new Float32Array(3);
  for (let i = 0; i < thumbnail.length; i++) {
    const channel = i % 3;
    low[channel] = Math.min(low[channel]!, thumbnail[i]!);
    high[channel] = Math.max(high[channel]!, thumbnail[i]!);
  }
  return {
    low,
    span: high.map((value, channel) => Math.max(Math.fround(value - low[channel]!), LEAST_SPAN)),
  };
}

/** Stretch values, channels last, and cut them to [0, 1]; in float32, as the network was taught. */
export function stretch(values: Float32Array, levels: Levels): Float32Array {
  return values.map((value, i) => {
    const above = Math.fround(value - levels.low[i % 3]!);
    return Math.min(Math.max(Math.fround(above / levels.span[i % 3]!), 0), 1);
  });
}
