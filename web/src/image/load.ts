/** Decode an image file without changing its numbers. */

import { firstLine, PocketpressError } from '../errors';

/**
 * The pixels of an encoded image, as Python decodes them: no colour management, no premultiplied alpha.
 *
 * A PNG gives equal numbers in every browser.  JPEG decoders differ by a step or two, as they do on the desktop.
 *
 * @param upright turn a photo as its orientation tag says; Python's data sets leave it as it lies in the file.
 * @throws PocketpressError of kind `artifact` when the browser cannot decode it.
 */
export async function loadImage(file: Blob, { upright = false } = {}): Promise<ImageData> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, {
      premultiplyAlpha: 'none',
      colorSpaceConversion: 'none',
      imageOrientation: upright ? 'from-image' : 'none',
    });
  } catch (error) {
    throw new PocketpressError('artifact', 'the image cannot be decoded', {
      got: firstLine(error),
      nextStep: 'choose another file',
    });
  }
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (context === null) throw new PocketpressError('unsupported', 'this browser has no 2D canvas');
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}
