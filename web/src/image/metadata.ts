/** Taking the orientation out of an encoded image: browsers turn it, and none can be told not to any more. */

const JPEG = [0xff, 0xd8];
const PNG = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const START_OF_SCAN = 0xda;
const APP1 = 0xe1;
const EXIF = 'Exif\0\0';
const PNG_CHUNK_EXTRA_BYTES = 12;

/**
 * The same image without its EXIF data, where its orientation is: JPEG and PNG.
 *
 * Pixels, colour profile and all other parts stay.  What is neither, or is damaged, comes back as it is: that is for
 * the decoder to say.  WebP has EXIF data too, by which Chromium does not turn it.
 */
export function withoutOrientation(image: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  if (begins(image, JPEG)) return jpegWithout(image);
  if (begins(image, PNG)) return pngWithout(image);
  return [image];
}

/** Segments before the picture; ISO/IEC 10918-1, B.1.1. */
function jpegWithout(image: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const kept = [image.subarray(0, 2)];
  let at = 2;
  while (at + 4 <= image.length && image[at] === 0xff && image[at + 1] !== START_OF_SCAN) {
    const end = at + 2 + view.getUint16(at + 2);
    if (end > image.length) break;
    if (image[at + 1] !== APP1 || !text(image, at + 4, EXIF.length).startsWith(EXIF))
      kept.push(image.subarray(at, end));
    at = end;
  }
  return [...kept, image.subarray(at)];
}

/** Chunks of length, name, data and checksum; PNG specification, 5.3. */
function pngWithout(image: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>[] {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const kept = [image.subarray(0, PNG.length)];
  let at: number = PNG.length;
  while (at + PNG_CHUNK_EXTRA_BYTES <= image.length) {
    const end = at + PNG_CHUNK_EXTRA_BYTES + view.getUint32(at);
    if (end > image.length) break;
    if (text(image, at + 4, 4) !== 'eXIf') kept.push(image.subarray(at, end));
    at = end;
  }
  return [...kept, image.subarray(at)];
}

function begins(image: Uint8Array, bytes: readonly number[]): boolean {
  return bytes.every((byte, i) => image[i] === byte);
}

function text(image: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...image.subarray(at, at + length));
}
