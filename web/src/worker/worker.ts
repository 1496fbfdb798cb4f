/** The worker: one network in one runtime.  Classic, because LiteRT.js loads its glue by `importScripts`. */

import { firstLine, PocketpressError, toPlain } from '../errors';
import type { TypedArray } from '../tensors';
import { openLiteRt } from './litert';
import { openOnnxRuntime } from './onnxruntime';
import type { BlockRequest, Envelope, Loaded, Reply, Request, Result } from './protocol';

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
      return { backend: loaded.backend, threads: loaded.threads };
    }
    case 'run':
      return run(request.feeds);
    case 'block':
      return block(request);
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
