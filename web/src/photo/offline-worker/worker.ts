/**
 * The photo page's service worker: keeps one version of the page, whole, and answers from it.
 *
 * `build/offline.mjs` puts the list of files in front.  A version is kept only when every file has the hash of the
 * list, so there is never half of one; it takes over when the last page of the version before is closed.
 */

interface Kept {
  /** Address from the folder of this worker. */
  readonly url: string;
  /** As in Subresource Integrity. */
  readonly integrity: string;
  /** Kept only by browsers with or without relaxed SIMD: runtimes have a build for each. */
  readonly relaxedSimd?: boolean;
}

declare const FILES: readonly Kept[];
declare const VERSION: string;
declare const self: ServiceWorkerGlobalScope;

const PREFIX = 'pocketpress-photo-';
const CACHE = PREFIX + VERSION;

/** The server leads from its folder to the page; without it, this worker does. */
const FOLDER = new URL('.', self.location.href).href;
const PAGE = new URL('photo.html', FOLDER).href;

/** The smallest module with a relaxed SIMD instruction, as `src/probe.ts` has it. */
const RELAXED = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2,
  253, 15, 253, 128, 2, 11,
];

const here = WebAssembly.validate(new Uint8Array(RELAXED));
const wanted = FILES.filter((file) => file.relaxedSimd === undefined || file.relaxedSimd === here);
const known = new Set(wanted.map((file) => new URL(file.url, self.location.href).href));

self.addEventListener('install', (event) => {
  event.waitUntil(keepAll());
});

self.addEventListener('activate', (event) => {
  event.waitUntil(dropOthers().then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = '';
  if (event.request.method !== 'GET') return;
  if (known.has(url.href)) event.respondWith(answer(url.href, event.request));
  else if (event.request.mode === 'navigate' && url.href === FOLDER)
    event.respondWith(fetch(event.request).catch(() => Response.redirect(PAGE)));
});

async function keepAll(): Promise<void> {
  const cache = await caches.open(CACHE);
  try {
    // what the HTTP cache has is asked for again: unchanged files cost a header
    const requests = wanted.map(({ url, integrity }) => new Request(url, { integrity, cache: 'no-cache' }));
    await cache.addAll(requests);
  } catch (error) {
    await caches.delete(CACHE);
    throw error;
  }
}

async function dropOthers(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(PREFIX) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function answer(url: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  return (await cache.match(url, { ignoreVary: true })) ?? fetch(request);
}

export {}; // a module for the compiler's sake; the build takes this line away
