/** Which runtime an artifact is for, and its signature. */

import { PocketpressError } from '../errors';
import type { Signature } from '../signature';
import { isOnnx, readOnnx } from './onnx';
import { isTflite, readTflite } from './tflite';

export type RuntimeName = 'litert' | 'onnxruntime';

export interface Artifact {
  readonly runtime: RuntimeName;
  readonly signature: Signature;
}

/**
 * Tell the format by the bytes and read the signature inside.
 *
 * @throws PocketpressError of kind `artifact` when it is neither a `.tflite` nor an `.onnx` file of Pocketpress.
 */
export function readArtifact(bytes: Uint8Array): Artifact {
  if (isTflite(bytes)) return { runtime: 'litert', signature: readTflite(bytes) };
  if (isOnnx(bytes)) return { runtime: 'onnxruntime', signature: readOnnx(bytes) };
  throw new PocketpressError('artifact', 'not an artifact for a browser', {
    got: `${bytes.byteLength} bytes, beginning with ${hex(bytes.subarray(0, 8))}`,
    allowed: ['.tflite', '.onnx'],
    nextStep: 'press the network with --target web',
  });
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}
