/** From an image to the network's input: bit for bit that of Python's `data/preprocessing.py`. */

import { PocketpressError } from '../errors';
import { elements, type Preprocessing, type Signature } from '../signature';
import { roundHalfEven } from '../tensors';
import { type Pixels, resize } from './resample';

const MAX_PIXELS = 64_000_000;
const RGBA = 4;

/** What is used of an `ImageData`: RGBA, not premultiplied, row by row. */
export interface Image {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray | Uint8Array;
}

/**
 * Resize, crop, normalise and lay out an image as the signature says.
 *
 * @returns the first input: pixels where the artifact takes them (`uint8`), else normalised float32.
 * @throws PocketpressError of kind `artifact` when no preprocessing is declared, or the image does not fit it.
 */
export function preprocess(image: Image, signature: Signature): Float32Array | Uint8Array {
  const { preprocessing: prep, inputs } = signature;
  const [input] = inputs;
  if (prep === null || input === undefined) {
    throw new PocketpressError('artifact', 'the artifact declares no preprocessing', {
      nextStep: 'press with --preprocess, or make the input yourself',
    });
  }
  const placed = place(image, prep);
  if (placed.length !== elements(input.shape)) {
    throw new PocketpressError('artifact', 'the image does not fit the input', {
      got: `${placed.length} values`,
      allowed: `(${input.shape.join(', ')})`,
    });
  }
  return input.dtype === 'uint8' ? placed : normalise(placed, prep);
}

/** Resized and cropped pixels in the network's layout. */
export function place(image: Image, prep: Preprocessing): Uint8Array {
  const pixels = resizeAndCrop(channelsOf(image, prep.mean.length), prep);
  return prep.layout === 'nchw' ? planar(pixels) : pixels.data;
}

/** `(pixel * scale - mean) / std` in float64, rounded to float32 once. */
function normalise(placed: Uint8Array, prep: Preprocessing): Float32Array {
  const channels = prep.mean.length;
  const area = placed.length / channels;
  const tables = prep.mean.map((mean, c) =>
    Float32Array.from({ length: 256 }, (_, pixel) => (pixel * prep.scale - mean) / (prep.std[c] as number)),
  );
  const result = new Float32Array(placed.length);
  for (let i = 0; i < placed.length; i++) {
    const c = prep.layout === 'nchw' ? Math.floor(i / area) : i % channels;
    result[i] = (tables[c] as Float32Array)[placed[i] as number] as number;
  }
  return result;
}

function channelsOf({ width, height, data }: Image, channels: number): Pixels {
  const area = width * height;
  if (area < 1 || area > MAX_PIXELS || data.length !== area * RGBA) {
    throw new PocketpressError('artifact', 'not an image', {
      got: `${width} x ${height}, ${data.length} bytes`,
      allowed: `RGBA of at most ${MAX_PIXELS} pixels`,
    });
  }
  if (channels === 1) return { width, height, channels, data: grey(data, area) };
  if (channels !== 3 && channels !== RGBA) {
    throw new PocketpressError('artifact', 'an image does not have as many channels', {
      got: channels,
      allowed: '1, 3 or 4',
    });
  }
  const result = new Uint8Array(area * channels);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < channels; c++) result[i * channels + c] = data[i * RGBA + c] as number;
  }
  return { width, height, channels, data: result };
}

/** ITU-R 601 luma in 16 bits of fixed point, as Pillow's conversion to "L". */
function grey(data: Image['data'], area: number): Uint8Array {
  const result = new Uint8Array(area);
  for (let i = 0; i < area; i++) {
    const [r, g, b] = [data[i * RGBA], data[i * RGBA + 1], data[i * RGBA + 2]] as [number, number, number];
    result[i] = (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
  }
  return result;
}

function resizeAndCrop(image: Pixels, { resize: side, crop }: Preprocessing): Pixels {
  if (side === null) return crop === null ? image : resize(image, crop[1], crop[0]);
  const { width, height } = image;
  const longer = Math.max(side, Math.trunc((side * Math.max(width, height)) / Math.min(width, height)));
  const resized = height <= width ? resize(image, longer, side) : resize(image, side, longer);
  return crop === null ? resized : centre(resized, crop);
}

function centre(image: Pixels, [height, width]: readonly [number, number]): Pixels {
  const { channels } = image;
  const top = roundHalfEven((image.height - height) / 2);
  const left = roundHalfEven((image.width - width) / 2);
  if (top < 0 || left < 0)
    throw new PocketpressError('artifact', 'preprocessing is contradictory', { got: 'crop' });
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y++) {
    const from = ((top + y) * image.width + left) * channels;
    data.set(image.data.subarray(from, from + width * channels), y * width * channels);
  }
  return { width, height, channels, data };
}

function planar({ width, height, channels, data }: Pixels): Uint8Array {
  const area = width * height;
  const result = new Uint8Array(data.length);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < channels; c++) result[c * area + i] = data[i * channels + c] as number;
  }
  return result;
}
