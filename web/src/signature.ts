/** Names, shapes and dtypes at the border of an artifact: the JSON of Python's `core/signature.py`. */

import { PocketpressError } from './errors';
import { areLabels, MAX_LABELS } from './labels';

export const FORMAT = 1;
export const MAX_JSON_BYTES = 1 << 20;
const MAX_TENSORS = 256;
const MAX_RANK = 8;
const MAX_ELEMENTS = 2 ** 31;
const MAX_INITIAL = 1 << 16;
const MAX_CHANNELS = 1 << 10;

export type DType = 'float32' | 'int8' | 'uint8' | 'int16' | 'int32' | 'int64' | 'bool';
const DTYPES: readonly string[] = ['float32', 'int8', 'uint8', 'int16', 'int32', 'int64', 'bool'];

export interface TensorSpec {
  readonly name: string;
  /** Static, batch included. */
  readonly shape: readonly number[];
  /** In the file; integers with a scale stand for `scale * (q - zeroPoint)`. */
  readonly dtype: DType;
  readonly scale: number | null;
  readonly zeroPoint: number;
  /** Step of the integer grid the values lie on even when the file holds floats, or null. */
  readonly gridScale: number | null;
  readonly gridZeroPoint: number;
  /** Float values that every runtime computes bit for bit. */
  readonly exact: boolean;
  /** Whole numbers from 0 to `rows - 1`; null for no such limit. */
  readonly rows: number | null;
  /** Names of an output's classes, one per element of its axis of classes; null where they are not known. */
  readonly labels: readonly string[] | null;
}

export interface Preprocessing {
  /** Shorter side in pixels before the crop, or null to resize straight to `crop`. */
  readonly resize: number | null;
  /** [height, width] of the centre crop; null keeps the image's size. */
  readonly crop: readonly [number, number] | null;
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly layout: 'nchw' | 'nhwc';
  readonly scale: number;
}

/** An output of one call that is an input of the next. */
export interface State {
  readonly input: string;
  readonly output: string;
  /** One number for all elements, or one per element. */
  readonly initial: readonly number[];
}

export interface Signature {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly TensorSpec[];
  readonly preprocessing: Preprocessing | null;
  /** A name such as `fp32` or `w8a8-static`. */
  readonly precision: string;
  readonly states: readonly State[];
}

/** Number of elements of a shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, d) => product * d, 1);
}

/** Inputs that are no states: what the caller of `step` gives. */
export function givenInputs(signature: Signature): readonly TensorSpec[] {
  const kept = new Set(signature.states.map((state) => state.input));
  return signature.inputs.filter((spec) => !kept.has(spec.name));
}

/** Outputs that are no states. */
export function returnedOutputs(signature: Signature): readonly TensorSpec[] {
  const kept = new Set(signature.states.map((state) => state.output));
  return signature.outputs.filter((spec) => !kept.has(spec.name));
}

/**
 * Parse the embedded JSON, which is not trusted: sizes and types are limited.
 *
 * @throws PocketpressError of kind `artifact` when it is not a signature of this format.
 */
export function parseSignature(bytes: Uint8Array): Signature {
  if (bytes.byteLength > MAX_JSON_BYTES) {
    throw new PocketpressError('artifact', 'embedded signature too long', {
      got: bytes.byteLength,
      allowed: MAX_JSON_BYTES,
    });
  }
  let data: unknown;
  try {
    data = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw malformed('not JSON');
  }
  const fields = record(data, 'signature');
  if (fields['format'] !== FORMAT) {
    throw new PocketpressError('artifact', 'unknown signature format', {
      got: String(fields['format']),
      allowed: FORMAT,
    });
  }
  const preprocessing = fields['preprocessing'];
  const signature: Signature = {
    inputs: list(fields['inputs'], MAX_TENSORS, 'inputs').map(tensor),
    outputs: list(fields['outputs'], MAX_TENSORS, 'outputs').map(tensor),
    preprocessing: preprocessing === undefined || preprocessing === null ? null : prep(preprocessing),
    precision: fields['precision'] === undefined ? 'fp32' : text(fields['precision'], 'precision'),
    states: list(fields['states'] ?? [], MAX_TENSORS, 'states').map(state),
  };
  if (signature.inputs.some((spec) => spec.labels !== null)) throw malformed('labels of an input');
  checkNames(signature.inputs, 'inputs');
  checkNames(signature.outputs, 'outputs');
  checkStates(signature);
  return signature;
}

function tensor(item: unknown): TensorSpec {
  const fields = record(item, 'tensor');
  const shape = list(fields['shape'], MAX_RANK, 'shape').map((d) => whole(d, 'shape'));
  if (shape.some((d) => d < 0) || elements(shape) > MAX_ELEMENTS) throw malformed('shape out of limits');
  const dtype = text(fields['dtype'], 'dtype');
  if (!DTYPES.includes(dtype)) {
    throw new PocketpressError('unsupported', 'the artifact has a dtype that browsers lack', {
      got: dtype,
      allowed: DTYPES,
    });
  }
  const scale = optional(fields['scale'], number, 'scale');
  if (scale !== null && !['int8', 'uint8', 'int16', 'int32'].includes(dtype))
    throw malformed('scale of no integers');
  return {
    name: text(fields['name'], 'name'),
    shape,
    dtype: dtype as DType,
    scale,
    zeroPoint: whole(fields['zero_point'] ?? 0, 'zero_point'),
    gridScale: optional(fields['grid_scale'], number, 'grid_scale'),
    gridZeroPoint: whole(fields['grid_zero_point'] ?? 0, 'grid_zero_point'),
    exact: fields['exact'] === true,
    rows: optional(fields['rows'], whole, 'rows'),
    labels: optional(fields['labels'], (value) => labels(value, shape), 'labels'),
  };
}

function labels(value: unknown, shape: readonly number[]): readonly string[] {
  const items = list(value, MAX_LABELS, 'labels');
  if (!areLabels(items, shape)) throw malformed('labels');
  return items;
}

function prep(item: unknown): Preprocessing {
  const fields = record(item, 'preprocessing');
  const mean = list(fields['mean'], MAX_CHANNELS, 'mean').map((v) => number(v, 'mean'));
  const std = list(fields['std'], MAX_CHANNELS, 'std').map((v) => number(v, 'std'));
  if (mean.length !== std.length || std.some((s) => !(s > 0))) throw malformed('mean and std');
  const layout = text(fields['layout'], 'layout');
  if (layout !== 'nchw' && layout !== 'nhwc') throw malformed('layout');
  const crop = optional(
    fields['crop'],
    (value) => list(value, 2, 'crop').map((d) => whole(d, 'crop')),
    'crop',
  );
  const [height, width] = crop ?? [];
  if (crop !== null && (height === undefined || width === undefined)) throw malformed('crop');
  return {
    resize: optional(fields['resize'], whole, 'resize'),
    crop: height === undefined || width === undefined ? null : [height, width],
    mean,
    std,
    layout,
    scale: number(fields['scale'], 'scale'),
  };
}

function state(item: unknown): State {
  const fields = record(item, 'state');
  const initial = list(fields['initial'], MAX_INITIAL, 'initial').map((v) => number(v, 'initial'));
  if (initial.length === 0) throw malformed('initial');
  return { input: text(fields['input'], 'input'), output: text(fields['output'], 'output'), initial };
}

function checkNames(specs: readonly TensorSpec[], what: string): void {
  if (new Set(specs.map((spec) => spec.name)).size !== specs.length)
    throw malformed(`${what} of equal names`);
}

/** Both ends of a state are stored alike, and its initial value fits. */
function checkStates(signature: Signature): void {
  for (const { input, output, initial } of signature.states) {
    const taken = signature.inputs.find((spec) => spec.name === input);
    const got = signature.outputs.find((spec) => spec.name === output);
    if (taken === undefined || got === undefined || storedAs(taken) !== storedAs(got))
      throw malformed('states');
    if (initial.length !== 1 && initial.length !== elements(taken.shape)) throw malformed('initial');
  }
}

function storedAs(spec: TensorSpec): string {
  return JSON.stringify([spec.shape, spec.dtype, spec.scale, spec.zeroPoint]);
}

function malformed(what: string): PocketpressError {
  return new PocketpressError('artifact', 'embedded signature is malformed', { got: what });
}

function record(value: unknown, what: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(what);
  return value as Record<string, unknown>;
}

function list(value: unknown, most: number, what: string): unknown[] {
  if (!Array.isArray(value) || value.length > most) throw malformed(what);
  return value;
}

function text(value: unknown, what: string): string {
  if (typeof value !== 'string') throw malformed(what);
  return value;
}

function number(value: unknown, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed(what);
  return value;
}

function whole(value: unknown, what: string): number {
  if (!Number.isSafeInteger(value)) throw malformed(what);
  return value as number;
}

function optional<T>(value: unknown, parse: (value: unknown, what: string) => T, what: string): T | null {
  return value === undefined || value === null ? null : parse(value, what);
}
