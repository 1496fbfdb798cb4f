/** Decode an image file without changing its numbers. */

import { firstLine, PocketpressError } from '../errors';
import { withoutOrientation } from './metadata';
import { straightPixels } from './straight';

/**
 * The pixels of an encoded image, as Python decodes them: no colour management, no premultiplied alpha.
 *
 * A PNG gives equal numbers in every browser.  JPEG decoders differ by a step or two, as they do on the desktop.
 * Without WebGL2 the colours of translucent pixels are rounded, those of transparent ones lost.
 *
 * @param upright turn a photo as its orientation tag says; Python's data sets leave it as it lies in the file.
 * @throws PocketpressError of kind `artifact` when the browser cannot decode it.
 */
export async function loadImage(file: Blob, { upright = false } = {}): Promise<ImageData> {
  let bitmap: ImageBitmap;
  try {
    const given = upright ? file : new Blob(withoutOrientation(new Uint8Array(await file.arrayBuffer())));
    bitmap = await createImageBitmap(given, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
  } catch (error) {
    throw new PocketpressError('artifact', 'the image cannot be decoded', {
      got: firstLine(error),
      nextStep: 'choose another file',
    });
  }
  try {
    const pixels = drawn(bitmap);
    return isOpaque(pixels) ? pixels : ((await straightPixels(bitmap)) ?? pixels);
  } finally {
    bitmap.close();
  }
}

function drawn(bitmap: ImageBitmap): ImageData {
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
  if (context === null) throw new PocketpressError('unsupported', 'this browser has no 2D canvas');
  context.drawImage(bitmap, 0, 0);
  return context.getImageData(0, 0, width, height);
}

function isOpaque({ data }: ImageData): boolean {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return false;
  return true;
}
