/** Run Pocketpress artifacts in a browser: the same named, real-valued tensors as in Python. */

export type { RuntimeName } from './artifact/read';
export { PocketpressError, type ErrorKind } from './errors';
export { openFastest, type Fastest, type FastestOptions, type Tried } from './fastest';
export { loadImage } from './image/load';
export { type Image, place, preprocess } from './image/preprocess';
export { probe, type Capabilities, type GpuAdapter } from './probe';
export { RUNTIME_VERSIONS } from './runtimes';
export { open, type CallOptions, type OpenOptions, type RuntimeInfo, type Session } from './session';
export type { DType, Preprocessing, Signature, State, TensorSpec } from './signature';
export type { Source } from './source';
export type { Tensor, TypedArray } from './tensors';
export { top, type Scored } from './top';
export { DEFAULT_PLAN, time, type Timed, type TimeOptions, type Times, type TimingPlan } from './time';
export type { Backend } from './worker/protocol';
