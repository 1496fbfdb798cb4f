import { describe, expect, it } from 'vitest';

import { preprocess } from '../src/image/preprocess';
import { sha256 } from '../src/sha256';
import { parseSignature, type Signature } from '../src/signature';
import { bytes, vectors } from './vectors';

interface Vector {
  readonly name: string;
  readonly signature: unknown;
  readonly width: number;
  readonly height: number;
  readonly rgba: string;
  readonly placed: string;
  readonly applied_sha256: string;
}

function signatureOf(vector: Vector): Signature {
  return parseSignature(new TextEncoder().encode(JSON.stringify(vector.signature)));
}

/** The same network, taking pixels. */
function ofPixels(signature: Signature): Signature {
  return { ...signature, inputs: signature.inputs.map((spec) => ({ ...spec, dtype: 'uint8' as const })) };
}

const found = vectors<Vector[]>('preprocessing');

describe('preprocess', () => {
  it.each(found)('places the pixels of "$name" as Python does', (vector) => {
    const image = { width: vector.width, height: vector.height, data: bytes(vector.rgba) };
    expect(preprocess(image, ofPixels(signatureOf(vector)))).toEqual(bytes(vector.placed));
  });

  it.each(found)('normalises "$name" to the bits of Python', async (vector) => {
    const image = { width: vector.width, height: vector.height, data: bytes(vector.rgba) };
    const input = preprocess(image, signatureOf(vector));
    expect(input).toBeInstanceOf(Float32Array);
    expect(await sha256(new Uint8Array(input.buffer as ArrayBuffer))).toBe(vector.applied_sha256);
  });

  it('refuses an image that is none', () => {
    const [vector] = found as [Vector];
    const image = { width: 3, height: 3, data: new Uint8Array(35) };
    expect(() => preprocess(image, signatureOf(vector))).toThrow('not an image: got 3 x 3, 35 bytes');
  });

  it('refuses an image of another size where nothing is resized', () => {
    const [vector] = found as [Vector];
    const image = { width: 3, height: 3, data: new Uint8Array(36) };
    expect(() => preprocess(image, signatureOf(vector))).toThrow(
      'the image does not fit the input: got 27 values',
    );
  });

  it('refuses an artifact that declares none', () => {
    const [vector] = found as [Vector];
    const image = { width: 1, height: 1, data: new Uint8Array(4) };
    const signature = { ...signatureOf(vector), preprocessing: null };
    expect(() => preprocess(image, signature)).toThrow('the artifact declares no preprocessing');
  });
});
