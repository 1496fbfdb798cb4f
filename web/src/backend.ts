/** Where a network is computed: what was asked for, and what the browser has. */

import type { RuntimeName } from './artifact/read';
import { PocketpressError } from './errors';
import { gpuAdapter, hasRelaxedSimd, hasSimd, hasThreads } from './probe';
import type { Signature } from './signature';
import type { Backend } from './worker/protocol';

/** More than this many seldom pays: phones have four fast cores at most. */
export const DEFAULT_THREADS = 4;
const MAX_THREADS = 64;

export interface Wanted {
  readonly backend?: 'auto' | 'wasm' | 'webgpu';
  readonly threads?: number;
}

export interface Chosen {
  readonly backend: Backend;
  readonly threads: number;
}

/**
 * Choose.  `auto` takes a real GPU for a float network, and WebAssembly otherwise; threads are used where the page
 * may have them, one elsewhere.
 *
 * @throws PocketpressError of kind `unsupported` where the browser lacks what was asked for by name.
 */
export async function chooseBackend(
  wanted: Wanted,
  runtime: RuntimeName,
  signature: Signature,
): Promise<Chosen> {
  const { backend = 'auto', threads } = wanted;
  if (threads !== undefined && (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS)) {
    throw new PocketpressError('artifact', 'threads is out of range', {
      got: threads,
      allowed: `1 to ${MAX_THREADS}`,
    });
  }
  if (backend === 'webgpu' || (backend === 'auto' && isFloat(signature))) {
    const adapter = await gpuAdapter();
    if (adapter !== null && (backend === 'webgpu' || !adapter.fallback))
      return { backend: 'webgpu', threads: 1 };
    if (backend === 'webgpu') {
      throw new PocketpressError('unsupported', 'this browser has no WebGPU adapter', {
        nextStep: isSecureContext
          ? "open with backend: 'wasm'"
          : 'serve the page over https, or open it on localhost',
      });
    }
  }
  if (!hasSimd()) {
    throw new PocketpressError('unsupported', 'this browser has no WebAssembly SIMD', {
      nextStep: 'use a browser of 2023 or later',
    });
  }
  const count = mayThread(runtime)
    ? (threads ?? Math.min(DEFAULT_THREADS, navigator.hardwareConcurrency || 1))
    : 1;
  return { backend: count > 1 ? 'wasm-threads' : 'wasm', threads: count };
}

/** Whether a runtime can have threads on this page. */
export function mayThread(runtime: RuntimeName): boolean {
  return hasThreads() && (runtime !== 'litert' || hasRelaxedSimd());
}

function isFloat(signature: Signature): boolean {
  return signature.precision === 'fp32' || signature.precision === 'fp16';
}
