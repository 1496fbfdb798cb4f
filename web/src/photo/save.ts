/** The enhanced photo as a file: at full size, upright, without the data that the camera wrote into it. */

import { PocketpressError } from '../errors';
import { type Look, type Patience, enhance } from './enhance';
import { type Photo, decode, release } from './photo';

/** A file format to save in. */
export type Format = 'jpeg' | 'png';

/**
 * A file about as large as the camera's own, with colour at half the resolution, as cameras write it; brightness
 * differs by a step of 255 on average (46 to 49 dB).  At 1, the only quality at which Chromium keeps all of the
 * colour, files are three times as large; who wants every number saves a PNG.
 */
const JPEG_QUALITY = 0.95;

/** A saved photo. */
export interface Saved {
  readonly file: File;
  readonly width: number;
  readonly height: number;
}

/**
 * Enhance the whole photo and encode it.
 *
 * @throws PocketpressError it cannot be decoded again, or encoded
 * @throws DOMException `signal` was aborted
 */
export async function encode(
  photo: Photo,
  look: Look,
  format: Format,
  patience: Patience = {},
): Promise<Saved> {
  const pixels = await decode(photo);
  try {
    await enhance(pixels, look, patience);
    const blob = await new Promise<Blob | null>((done) => {
      pixels.canvas.toBlob(done, `image/${format}`, JPEG_QUALITY);
    });
    patience.signal?.throwIfAborted();
    if (blob === null) {
      throw new PocketpressError('device', 'The enhanced photo could not be written', {
        got: `${pixels.width} x ${pixels.height} pixels`,
        nextStep: 'close other pages to free memory, and try again',
      });
    }
    const file = new File([blob], nameOf(photo.file.name, format), { type: blob.type });
    return { file, width: pixels.width, height: pixels.height };
  } finally {
    release(pixels);
  }
}

/** `IMG_1.heic` to `IMG_1-enhanced.jpg`. */
export function nameOf(name: string, format: Format): string {
  return `${name.replace(/\.[^.]*$/, '') || 'photo'}-enhanced.${format === 'jpeg' ? 'jpg' : 'png'}`;
}

/** Hand a file to the browser's downloads. */
export function download(file: File): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // it is read after the click
}

/** Whether the system can share photos from this page. */
export function canShare(): boolean {
  const probe = new File([new Uint8Array(1)], 'photo.jpg', { type: 'image/jpeg' });
  return typeof navigator.canShare === 'function' && navigator.canShare({ files: [probe] });
}

/** Share a file; `late` when the press that asked for it is too long ago for the browser. */
export async function share(file: File): Promise<'shared' | 'cancelled' | 'late'> {
  try {
    await navigator.share({ files: [file], title: file.name });
    return 'shared';
  } catch (error) {
    const name = error instanceof DOMException ? error.name : '';
    if (name === 'AbortError') return 'cancelled';
    if (name === 'NotAllowedError') return 'late';
    throw error;
  }
}
