/** The encoder behind `open()`, and its colour tables. */

import { PocketpressError } from '../errors';
import { type Session, open } from '../index';
import { type Saved, readHalf } from './npy';

/** Where the files of the network lie, from the page. */
export const FILES = { encoder: 'photo/encoder.web.tflite', tables: 'photo/tables.npy' } as const;

/** Thumbnails in, blend weights out. */
export interface Network {
  readonly tables: Saved;
  /** What runs it, for people: "LiteRT.js 2.5.3". */
  readonly runtime: string;
  /** Blend weights of a stretched thumbnail, (256, 256, 3). */
  predict(thumbnail: Float32Array, signal?: AbortSignal): Promise<Float32Array>;
}

/** Load both, and the runtime. One thread: the network takes a few milliseconds. */
export async function loadNetwork(base: URL): Promise<Network> {
  const [session, tables] = await Promise.all([
    open(new URL(FILES.encoder, base), { runtime: 'litert', backend: 'wasm', threads: 1 }),
    loadTables(new URL(FILES.tables, base)),
  ]);
  const input = session.signature.inputs[0]!.name;
  const output = session.signature.outputs[0]!.name;
  return {
    tables,
    runtime: describe(session),
    async predict(thumbnail, signal) {
      const answer = await session.run({ [input]: thumbnail }, signal ? { signal } : {});
      return Float32Array.from(answer[output]!.data as Float32Array);
    },
  };
}

async function loadTables(url: URL): Promise<Saved> {
  const response = await fetch(url);
  if (!response.ok) {
    throw new PocketpressError('device', 'The colour tables could not be loaded', {
      got: `${response.status} ${response.statusText}`,
      nextStep: 'reload the page when you are online',
    });
  }
  return readHalf(await response.arrayBuffer());
}

function describe(session: Session): string {
  const names = { litert: 'LiteRT.js', onnxruntime: 'ONNX Runtime Web' };
  return `${names[session.runtime.name]} ${session.runtime.version}`;
}
