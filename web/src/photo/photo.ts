/** A photo as the user chose it: checked, decoded upright and in sRGB, and gone through strip by strip. */

import { PocketpressError } from '../errors';

/** Limits of what is opened. */
export const LIMITS = { fileBytes: 100 << 20, pixels: 100_000_000 } as const;

/** Pixels handled between two chances for the page to react. */
const STRIP_PIXELS = 1 << 18;

const READABLE = 'JPEG, PNG, WebP or AVIF';
const HEAD_BYTES = 64;

/** A chosen photo; its pixels are decoded when they are needed and not kept. */
export interface Photo {
  readonly file: File;
  /** Width in pixels, upright. */
  readonly width: number;
  /** Height in pixels, upright. */
  readonly height: number;
}

/** Pixels on a canvas: the whole photo, or what the browser can hold of it. */
export interface Pixels {
  readonly canvas: HTMLCanvasElement;
  readonly width: number;
  readonly height: number;
}

/**
 * Check that a file is a photo that can be opened, and learn its size without decoding it whole.
 *
 * @throws PocketpressError it is no photo, or too large
 */
export async function openPhoto(file: File): Promise<Photo> {
  if (file.size > LIMITS.fileBytes) {
    throw new PocketpressError('artifact', 'This photo is too large to open here', {
      got: `${megabytes(file.size)} MB`,
      allowed: `${megabytes(LIMITS.fileBytes)} MB at most`,
      nextStep: 'choose a smaller one',
    });
  }
  const url = URL.createObjectURL(file);
  try {
    const image = new Image();
    await new Promise<unknown>((done) => {
      image.onload = image.onerror = done; // not `decode()`, which decodes before its size can be refused
      image.src = url;
    });
    const { naturalWidth: width, naturalHeight: height } = image;
    if (width === 0 || height === 0) throw await unreadable(file);
    checkPixels(width, height);
    return { file, width, height };
  } finally {
    URL.revokeObjectURL(url);
  }
}

/**
 * Decode a photo onto a canvas: upright as its EXIF data says, colours converted to sRGB, white behind.
 *
 * @throws PocketpressError the file is damaged or no longer there, or there is no memory for it
 */
export async function decode({ file }: Photo): Promise<Pixels> {
  const bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' }).catch(() => {
    throw new PocketpressError('artifact', 'This photo cannot be decoded', {
      got: file.name,
      nextStep: 'choose it again; if that does not help it is damaged, or too large for this device',
    });
  });
  try {
    return draw(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}

/** A smaller copy of pixels, longest side at most `longest`. */
export function shrink(pixels: Pixels, longest: number): Pixels {
  const scale = Math.min(1, longest / Math.max(pixels.width, pixels.height));
  return draw(pixels.canvas, pixels.width * scale, pixels.height * scale);
}

/** Give a canvas' memory back at once. */
export function release(pixels: Pixels): void {
  pixels.canvas.width = pixels.canvas.height = 0;
}

/**
 * Go through pixels in strips of whole rows, top to bottom, letting the page react in between.
 *
 * @param visit is given the strip; returns whether it changed it
 * @throws DOMException `signal` was aborted
 */
export async function eachStrip(
  pixels: Pixels,
  visit: (data: Uint8ClampedArray, width: number, height: number) => boolean,
  options: { signal?: AbortSignal; progress?: (share: number) => void } = {},
): Promise<void> {
  const { width, height } = pixels;
  const context = context2d(pixels.canvas);
  const rows = Math.max(1, Math.floor(STRIP_PIXELS / width));
  for (let top = 0; top < height; top += rows) {
    options.signal?.throwIfAborted();
    const strip = context.getImageData(0, top, width, Math.min(rows, height - top));
    if (visit(strip.data, width, strip.height)) context.putImageData(strip, 0, top);
    options.progress?.(Math.min(1, (top + rows) / height));
    await breathe();
  }
  options.signal?.throwIfAborted();
}

/** What a canvas can hold differs: 268 million pixels in Chromium, 16.7 million on older iPhones. */
function draw(source: CanvasImageSource, width: number, height: number): Pixels {
  const canvas = document.createElement('canvas');
  for (let shrunk = 1; shrunk > 0.1; shrunk *= Math.SQRT1_2) {
    canvas.width = Math.max(1, Math.round(width * shrunk));
    canvas.height = Math.max(1, Math.round(height * shrunk));
    const context = canvas.getContext('2d', { willReadFrequently: true, alpha: false, colorSpace: 'srgb' });
    if (context === null || !holds(context)) continue;
    context.imageSmoothingQuality = 'high';
    context.fillStyle = '#fff';
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
    return { canvas, width: canvas.width, height: canvas.height };
  }
  throw new PocketpressError('device', 'This device has not enough memory for this photo', {
    got: `${Math.round(width)} x ${Math.round(height)} pixels`,
    nextStep: 'close other pages, or choose a smaller photo',
  });
}

/** A canvas that is too large fails silently: what is drawn to its far corner is not there. */
function holds(context: CanvasRenderingContext2D): boolean {
  const { width, height } = context.canvas;
  context.fillStyle = '#fff';
  context.fillRect(width - 1, height - 1, 1, 1);
  try {
    return context.getImageData(width - 1, height - 1, 1, 1).data[0] === 255;
  } catch {
    return false;
  }
}

function context2d(canvas: HTMLCanvasElement): CanvasRenderingContext2D {
  const context = canvas.getContext('2d');
  if (context === null)
    throw new PocketpressError('unsupported', 'This browser gives the page no canvas', {
      nextStep: 'reload',
    });
  return context;
}

function breathe(): Promise<void> {
  return new Promise((resolve) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => resolve();
    channel.port2.postMessage(null);
  });
}

function checkPixels(width: number, height: number): void {
  if (width * height <= LIMITS.pixels) return;
  throw new PocketpressError('artifact', 'This photo has too many pixels', {
    got: `${megapixels(width * height)} megapixels`,
    allowed: `${megapixels(LIMITS.pixels)} at most`,
    nextStep: 'choose a smaller one',
  });
}

async function unreadable(file: File): Promise<PocketpressError> {
  if (isHeic(new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer()))) {
    return new PocketpressError('artifact', 'Your browser cannot read HEIC photos', {
      got: file.name,
      allowed: READABLE,
      nextStep: 'let the camera save JPEG (on an iPhone, the format "Most Compatible"), or use Safari',
    });
  }
  return new PocketpressError('artifact', 'This file is no photo that your browser can read', {
    got: file.name,
    allowed: READABLE,
    nextStep: 'choose another one',
  });
}

/** Whether a file begins as HEIC does: its first box names a brand of HEVC images; ISO/IEC 23008-12, annex B. */
export function isHeic(head: Uint8Array): boolean {
  const text = String.fromCharCode(...head);
  return text.slice(4, 8) === 'ftyp' && /hei[cxms]|hev[cxms]/.test(text.slice(8));
}

/** Millions of pixels for people, as "12.2". */
export function megapixels(pixels: number): string {
  return (pixels / 1e6).toFixed(1).replace(/\.0$/, '');
}

function megabytes(bytes: number): string {
  return (bytes / (1 << 20)).toFixed(0);
}
