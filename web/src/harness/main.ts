/** The page that Python drives (`pocketpress.devices.web`): artifacts by number, arrays as base64. */

import { open, type OpenOptions, probe, type RuntimeInfo, type Session, type TypedArray } from '../index';
import type { DType } from '../signature';
import { arrayOf, bytesOf, type Packed, pack } from './arrays';

interface Opened {
  readonly id: number;
  readonly loadMs: number;
  readonly runtime: RuntimeInfo;
}

/** An artifact, and what it was last given, so that a second block of the same inputs does not send them again. */
interface Held {
  readonly session: Session;
  feeds: readonly TypedArray[];
}

const held = new Map<number, Held>();
let count = 0;

const harness = {
  probe,

  async open(address: string, options: OpenOptions): Promise<Opened> {
    const session = await open(address, options);
    const id = ++count;
    held.set(id, { session, feeds: [] });
    return { id, loadMs: session.loadMs, runtime: session.runtime };
  },

  async run(id: number, given: readonly Packed[]): Promise<Packed[]> {
    const { session } = find(id);
    const results = await session.runRaw(given.map(unpack));
    return results.map((array, i) => pack(array, session.signature.outputs[i]?.dtype as DType));
  },

  /** Milliseconds of `timed` inferences after one that is not timed; `null` stands for the inputs of before. */
  async block(id: number, given: readonly Packed[] | null, timed: number): Promise<number[]> {
    const one = find(id);
    if (given !== null) one.feeds = given.map(unpack);
    const seconds = await one.session.block(one.feeds, 1, timed);
    return seconds.map((value) => value * 1000);
  },

  async close(id: number): Promise<void> {
    await find(id).session.close();
    held.delete(id);
  },
};

function find(id: number): Held {
  const found = held.get(id);
  if (found === undefined) throw new Error(`no artifact ${id} is open`);
  return found;
}

function unpack({ dtype, data }: Packed): TypedArray {
  return arrayOf(dtype, bytesOf(data));
}

export type Harness = typeof harness;
(window as unknown as { harness: Harness }).harness = harness;
