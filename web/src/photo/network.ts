/** The encoder behind `open()`, and its colour tables. */

import { PocketpressError } from '../errors';
import { type Session, open } from '../index';
import { elements } from '../signature';
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
  const opening = open(new URL(FILES.encoder, base), { runtime: 'litert', backend: 'wasm', threads: 1 });
  try {
    const [session, tables] = await Promise.all([opening, loadTables(new URL(FILES.tables, base))]);
    return await prepared(session, tables);
  } catch (error) {
    opening.then(
      (session) => session.close(),
      () => undefined,
    );
    throw error;
  }
}

async function prepared(session: Session, tables: Saved): Promise<Network> {
  const [input] = session.signature.inputs;
  const [output] = session.signature.outputs;
  if (input === undefined || output === undefined) throw new Error('the network has no input or no output');
  const predict: Network['predict'] = async (thumbnail, signal) => {
    const answer = await session.run({ [input.name]: thumbnail }, { signal });
    return Float32Array.from(answer[output.name]?.data as Float32Array);
  };
  await predict(new Float32Array(elements(input.shape))); // the first run is slower: the runtime prepares in it
  return { tables, runtime: describe(session), predict };
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
