/** What Python computed: written by scripts/web_vectors.py. */

import { readFileSync } from 'node:fs';

/** Read `test/vectors/<name>.json`. */
export function vectors<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`vectors/${name}.json`, import.meta.url), 'utf8')) as T;
}

export function artifact(name: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(readFileSync(new URL(`artifacts/${name}`, import.meta.url)));
}

export function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(base64, 'base64'));
}

export function floats(base64: string): Float32Array {
  return new Float32Array(bytes(base64).buffer);
}
