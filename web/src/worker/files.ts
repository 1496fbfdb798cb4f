/** Files of a runtime: from the Cache API where the browser has it, else through its HTTP cache. */

import { firstLine, PocketpressError } from '../errors';

const CACHE = 'pocketpress-runtimes';

/**
 * Fetch a runtime's file once and keep it.
 *
 * Files lie in folders named by version and never change, so what is kept is never asked for again; other
 * versions of the same runtime are thrown away.
 *
 * @throws PocketpressError of kind `device` when it cannot be fetched.
 */
export async function runtimeFile(url: string): Promise<Response> {
  const cache = await openCache();
  const kept = await cache?.match(url);
  if (kept) return kept;
  const response = await fetched(url);
  if (cache !== null) {
    try {
      await dropOtherVersions(cache, url);
      await cache.put(url, response.clone());
    } catch {
      // No room, or a browser that keeps nothing: the runtime works all the same.
    }
  }
  return response;
}

/** Forget a kept file that turned out to be damaged: the next try fetches it again. */
export async function forgetRuntimeFile(url: string): Promise<void> {
  await (await openCache())?.delete(url);
}

async function openCache(): Promise<Cache | null> {
  try {
    return typeof caches === 'undefined' ? null : await caches.open(CACHE);
  } catch {
    return null;
  }
}

async function fetched(url: string): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { credentials: 'same-origin' });
  } catch (error) {
    throw unreachable(url, firstLine(error));
  }
  if (!response.ok) throw unreachable(url, `${response.status} ${response.statusText}`);
  return response;
}

/** The error of a runtime file that does not arrive. */
export function unreachable(url: string, got: string): PocketpressError {
  return new PocketpressError('device', `cannot load ${url.split('/').slice(-2).join('/')}`, {
    got,
    nextStep: 'check the connection, and that `base` points at the folder that holds runtimes/',
  });
}

/** `…/runtimes/litert-2.5.3/x.wasm` replaces `…/runtimes/litert-2.5.2/*`. */
async function dropOtherVersions(cache: Cache, url: string): Promise<void> {
  const folder = url.slice(0, url.lastIndexOf('/') + 1);
  const family = folder.slice(0, folder.lastIndexOf('-') + 1);
  for (const { url: other } of await cache.keys()) {
    if (other.startsWith(family) && !other.startsWith(folder)) await cache.delete(other);
  }
}

/** Run a classic script of a runtime in this worker. */
export function importScript(url: string): void {
  try {
    (self as unknown as { importScripts(url: string): void }).importScripts(url);
  } catch (error) {
    throw unreachable(url, firstLine(error));
  }
}
