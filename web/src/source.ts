/** Where an artifact comes from. */

import { firstLine, PocketpressError } from './errors';

export type Source = string | URL | ArrayBuffer | ArrayBufferView | Blob;

/**
 * The bytes of an artifact, the session's own: a worker that was killed is started with them again.
 *
 * @throws PocketpressError of kind `device` when it cannot be fetched; the signal's reason when that is aborted.
 */
export async function fetchArtifact(source: Source, signal?: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  signal?.throwIfAborted();
  if (source instanceof ArrayBuffer) return new Uint8Array(source.slice(0));
  if (ArrayBuffer.isView(source)) {
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength).slice();
  }
  if (source instanceof Blob) return new Uint8Array(await source.arrayBuffer());
  const nextStep = 'check the address and the connection';
  let response: Response;
  try {
    response = await fetch(source, { signal: signal ?? null });
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    signal?.throwIfAborted();
    throw new PocketpressError('device', `cannot fetch ${source}`, { got: firstLine(error), nextStep });
  }
  throw new PocketpressError('device', `cannot fetch ${source}`, {
    got: `${response.status} ${response.statusText}`,
    nextStep,
  });
}
