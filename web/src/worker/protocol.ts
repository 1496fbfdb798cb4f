/** What the page and its workers say to each other. */

import type { RuntimeName } from '../artifact/read';
import type { PlainError } from '../errors';
import type { TensorSpec } from '../signature';
import type { TypedArray } from '../tensors';

export type Backend = 'wasm' | 'wasm-threads' | 'webgpu';

/** Load an artifact; the first message to a worker. */
export interface OpenRequest {
  readonly op: 'open';
  readonly runtime: RuntimeName;
  readonly bytes: Uint8Array;
  /** Absolute address of the folder that holds this runtime's files. */
  readonly folder: string;
  readonly backend: Backend;
  readonly threads: number;
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
}

export interface Opened {
  readonly backend: Backend;
  readonly threads: number;
}

/** One inference; feeds are in the file's dtypes and signature order. */
export interface RunRequest {
  readonly op: 'run';
  readonly feeds: readonly TypedArray[];
}

/** `untimed` inferences, then `timed` ones, each timed by itself. */
export interface BlockRequest {
  readonly op: 'block';
  readonly feeds: readonly TypedArray[];
  readonly untimed: number;
  readonly timed: number;
}

export interface Results {
  open: Opened;
  run: TypedArray[];
  /** Seconds of every timed inference. */
  block: number[];
}

export type Request = OpenRequest | RunRequest | BlockRequest;
export type Result = Results[keyof Results];

export interface Envelope {
  readonly id: number;
  readonly request: Request;
}

export type Reply =
  { readonly id: number; readonly result: Result } | { readonly id: number; readonly error: PlainError };

/** A network loaded in a runtime, inside the worker. */
export interface Loaded extends Opened {
  run(feeds: readonly TypedArray[]): Promise<TypedArray[]>;
}
