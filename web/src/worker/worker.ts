/** The worker: one network in one runtime.  Classic, because LiteRT.js loads its glue by `importScripts`. */

import { firstLine, PocketpressError, toPlain } from '../errors';
import { elements } from '../signature';
import { allocate, type TypedArray } from '../tensors';
import { openLiteRt } from './litert';
import { openOnnxRuntime } from './onnxruntime';
import type { BlockRequest, Envelope, Loaded, OpenRequest, Reply, Request, Result } from './protocol';

/** What of the worker's global scope is used; TypeScript's own types of it clash with the page's. */
interface Scope {
  onmessage: ((event: MessageEvent<Envelope>) => void) | null;
  postMessage(message: Reply, transfer: Transferable[]): void;
}

const scope = self as unknown as Scope;
let loaded: Loaded | null = null;

scope.onmessage = ({ data }) => {
  void answer(data);
};

async function answer({ id, request }: Envelope): Promise<void> {
  let reply: Reply;
  let transfer: Transferable[] = [];
  try {
    const result = await handle(request);
    if (request.op === 'run') transfer = (result as TypedArray[]).map((array) => array.buffer as ArrayBuffer);
    reply = { id, result };
  } catch (error) {
    reply = { id, error: toPlain(error) };
  }
  scope.postMessage(reply, transfer);
}

async function handle(request: Request): Promise<Result> {
  switch (request.op) {
    case 'open': {
      loaded = await (request.runtime === 'litert' ? openLiteRt : openOnnxRuntime)(request);
      if (loaded.backend === 'webgpu') await tryOut(loaded, request);
      return { backend: loaded.backend, threads: loaded.threads };
    }
    case 'run':
      return run(request.feeds);
    case 'block':
      return block(request);
  }
}

/**
 * One inference: what a GPU cannot run is told before the network counts as open, while there is a choice.
 * LiteRT.js compiles 8-bit networks for it, says that all of them is there, and fails when it runs them.
 */
async function tryOut(network: Loaded, { inputs }: OpenRequest): Promise<void> {
  try {
    await network.run(inputs.map(({ dtype, shape }) => allocate(dtype, elements(shape))));
  } catch (error) {
    throw new PocketpressError('unsupported', 'the runtime cannot run the network on WebGPU', {
      got: firstLine(error),
      nextStep: "open with backend: 'wasm'",
    });
  }
}

async function run(feeds: readonly TypedArray[]): Promise<TypedArray[]> {
  if (loaded === null) throw new PocketpressError('internal', 'the worker has no network');
  try {
    return await loaded.run(feeds);
  } catch (error) {
    if (error instanceof PocketpressError) throw error;
    throw new PocketpressError('device', 'the runtime failed to run the artifact', { got: firstLine(error) });
  }
}

async function block({ feeds, untimed, timed }: BlockRequest): Promise<number[]> {
  for (let i = 0; i < untimed; i++) await run(feeds);
  const seconds: number[] = [];
  for (let i = 0; i < timed; i++) {
    const before = performance.now();
    await run(feeds);
    seconds.push((performance.now() - before) / 1000);
  }
  return seconds;
}
