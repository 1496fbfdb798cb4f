import { describe, expect, it } from 'vitest';

import { readArtifact } from '../src/artifact/read';
import { PocketpressError } from '../src/errors';
import type { Signature, TensorSpec } from '../src/signature';
import { artifact, vectors } from './vectors';

/** Bytes at the end of a .tflite file that nothing refers to, at most. */
const PADDING = 4;

interface PythonSpec {
  readonly name: string;
  readonly shape: number[];
  readonly dtype: string;
  readonly scale: number | null;
  readonly zero_point: number;
  readonly grid_scale: number | null;
  readonly grid_zero_point: number;
  readonly exact: boolean;
  readonly rows: number | null;
  readonly labels: readonly string[] | null;
}

interface PythonSignature {
  readonly inputs: PythonSpec[];
  readonly outputs: PythonSpec[];
  readonly preprocessing: Signature['preprocessing'];
  readonly precision: string;
  readonly states: Signature['states'];
}

const signatures = vectors<Record<string, PythonSignature>>('artifacts');
const names = Object.keys(signatures);

function inPython(spec: TensorSpec): PythonSpec {
  const { zeroPoint, gridScale, gridZeroPoint, ...rest } = spec;
  const numbers = { zero_point: zeroPoint, grid_scale: gridScale, grid_zero_point: gridZeroPoint };
  return { ...rest, shape: [...spec.shape], ...numbers };
}

/** `bytes` with the first occurrence of `from` replaced by as many other bytes. */
function edited(bytes: Uint8Array, from: string, to: string): Uint8Array {
  const text = Buffer.from(bytes).toString('latin1');
  if (from.length !== to.length || !text.includes(from)) throw new Error(`no ${from}`);
  return Uint8Array.from(Buffer.from(text.replace(from, to), 'latin1'));
}

/** A .tflite file of `count` subgraphs, all of them one, of `count` tensors, all of them one. */
function repeating(count: number): Uint8Array {
  const graph = 60 + 4 * count;
  const tensor = graph + 20 + 4 * count;
  const view = new DataView(new ArrayBuffer(tensor + 8));
  const shorts = (at: number, ...values: number[]): void =>
    values.forEach((value, i) => view.setUint16(at + 2 * i, value, true));
  const set = (at: number, value: number): void => view.setUint32(at, value, true);
  const point = (at: number, to: number): void => set(at, to - at);
  const vector = (at: number, length: number, to: number): void => {
    set(at, length);
    for (let i = 1; i <= length; i++) point(at + 4 * i, to);
  };
  set(0, 32);
  new Uint8Array(view.buffer).set(Buffer.from('TFL3'), 4);
  shorts(8, 18, 16, 4, 0, 8, 0, 12, 0, 0); // where the model has its version, subgraphs and buffers
  set(32, 24);
  set(36, 3);
  point(40, 56);
  point(44, 48);
  vector(48, 1, tensor + 4);
  vector(56, count, graph + 8);
  shorts(graph, 6, 8, 4);
  set(graph + 8, 8);
  point(graph + 12, graph + 16);
  vector(graph + 16, count, tensor + 4);
  shorts(tensor, 4, 4);
  set(tensor + 4, 4);
  return new Uint8Array(view.buffer);
}

/** A field of a protocol buffer that has a length. */
function field(id: number, ...parts: (number[] | Uint8Array | string)[]): number[] {
  const bytes = parts.flatMap((part) => [...(typeof part === 'string' ? Buffer.from(part) : part)]);
  return [...varint(id * 8 + 2), ...varint(bytes.length), ...bytes];
}

function number(id: number, value: number): number[] {
  return [...varint(id * 8), ...varint(value)];
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

function refusal(bytes: Uint8Array): PocketpressError {
  try {
    readArtifact(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(PocketpressError);
    return error as PocketpressError;
  }
  throw new Error('it was taken');
}

describe.each(names)('%s', (name) => {
  it('carries the signature that Python reads in it', () => {
    const { signature, runtime } = readArtifact(artifact(name));
    const { inputs, outputs, preprocessing, precision, states } = signatures[name] as PythonSignature;
    expect(runtime).toBe(name.endsWith('.onnx') ? 'onnxruntime' : 'litert');
    expect(signature.inputs.map(inPython)).toEqual(inputs);
    expect(signature.outputs.map(inPython)).toEqual(outputs);
    expect(signature.preprocessing).toEqual(preprocessing);
    expect(signature.states).toEqual(states);
    expect(signature.precision).toBe(precision);
  });

  it('is refused wherever it is cut off', () => {
    const whole = artifact(name);
    const end = whole.length - PADDING;
    for (let length = 0; length < end; length += 7) {
      expect(refusal(whole.slice(0, length)).kind).toBe('artifact');
    }
  });

  it('is read or refused, and nothing else, whichever byte is changed', () => {
    const whole = artifact(name);
    for (let at = 0; at < whole.length; at++) {
      const changed = whole.slice();
      changed[at] = (changed[at] as number) ^ (at % 2 === 0 ? 1 : 0x80);
      try {
        readArtifact(changed);
      } catch (error) {
        if (!(error instanceof PocketpressError) || error.kind === 'internal') throw error;
      }
    }
  });

  it('is refused without its signature', () => {
    const bytes = edited(artifact(name), 'pocketpress.signature', 'pocketpress.signaturX');
    expect(refusal(bytes).message).toContain('carries no Pocketpress signature');
  });

  it('is refused with a signature of another format', () => {
    const bytes = edited(artifact(name), '"format":1', '"format":2');
    expect(refusal(bytes).message).toBe('unknown signature format: got 2; allowed: 1');
  });

  it('is refused with a signature that is no JSON', () => {
    const bytes = edited(artifact(name), '"format":1', '"format":]');
    expect(refusal(bytes).message).toBe('embedded signature is malformed: got not JSON');
  });

  it('is refused with a tensor of impossible size', () => {
    const bytes = name.startsWith('image')
      ? edited(artifact(name), '"shape":[1,3,8,8]', '"shape":[9e9,9e9]')
      : edited(artifact(name), '"shape":[1,2]', '"shape":[1.2]');
    expect(refusal(bytes).message).toContain('embedded signature is malformed');
  });
});

describe('.onnx files', () => {
  const whole = artifact('image.onnx');
  const TENSOR_ATTRIBUTE = 4;
  const GRAPH_ATTRIBUTE = 5;

  /** The artifact with more fields at its end. */
  function withModel(...extra: number[]): Uint8Array {
    return Uint8Array.of(...whole, ...extra);
  }

  /** A model of one graph. */
  function model(...graph: number[][]): Uint8Array {
    return Uint8Array.from([...number(1, 9), ...field(7, ...graph)]);
  }

  const node = (...parts: number[][]): number[] => field(1, ...parts);
  const body = field(6, field(1, field(4, 'Relu')));

  it.each<[string, Uint8Array, string]>([
    ['functions', withModel(...field(25, [])), 'holds functions or training data'],
    ['training data', withModel(...field(20, [])), 'holds functions or training data'],
    ['two graphs', withModel(...field(7, [])), 'is damaged: got not one graph'],
    ['sparse tensors', model(field(15, [])), 'holds sparse tensors'],
    ['external data', model(field(5, number(14, 1))), 'holds references to external data files'],
    ['a nested graph', model(node(field(3, 'n'), field(4, 'If'), field(5, body, number(20, GRAPH_ATTRIBUTE)))),
      'holds a nested graph or tensor in node n'],
    ['a tensor attribute', model(node(field(3, 'n'), field(5, number(20, TENSOR_ATTRIBUTE)))),
      'holds a nested graph or tensor in node n'],
    ['a graph that says it is a number', model(node(field(3, 'n'), field(5, body, number(20, 1)))),
      'holds a nested graph or tensor in node n'],
    ['a loop in a loop',
      model(node(field(4, 'Scan'), field(5, field(1, 'body'), number(20, GRAPH_ATTRIBUTE),
        field(6, node(field(3, 'inner'), field(4, 'Scan'), field(5, field(1, 'body'), body, number(20, GRAPH_ATTRIBUTE))))))),
      'holds a nested graph or tensor in node inner'],
    ['a number for a message', Uint8Array.from([...number(1, 9), ...number(7, 3)]), 'is damaged: got a message is a number'],
    ['no signature', model(node(field(4, 'Relu'))), 'carries no Pocketpress signature'],
  ])('with %s are refused', (_, bytes, message) => {
    expect(refusal(bytes).message).toContain(message);
  }); // prettier-ignore

  it('with two signatures are refused', () => {
    const entry = field(14, field(1, 'pocketpress.signature'), field(2, '{}'));
    expect(refusal(withModel(...entry)).message).toContain('carries no Pocketpress signature');
  });

  it('with too many nodes are refused', () => {
    const nodes = new Uint8Array(2 * 100_001);
    for (let i = 0; i < nodes.length; i += 2) nodes[i] = node()[0] as number;
    const length = varint(nodes.length);
    expect(refusal(Uint8Array.from([...number(1, 9), 7 * 8 + 2, ...length, ...nodes])).message).toContain(
      'more than 100000 nodes',
    );
  });

  it('may hold the body of one Scan', () => {
    const scan = node(field(4, 'Scan'), field(5, field(1, 'body'), body, number(20, GRAPH_ATTRIBUTE)));
    expect(refusal(model(scan)).message).toContain('carries no Pocketpress signature');
  });
});

it('refuses what is neither', () => {
  const bytes = new TextEncoder().encode('<!doctype html>'.repeat(9));
  expect(refusal(bytes).message).toBe(
    'not an artifact for a browser: got 135 bytes, beginning with 3c 21 64 6f 63 74 79 70; allowed: .tflite, .onnx; ' +
      'press the network with --target web',
  );
});

describe('a file whose parts are all the same', () => {
  it('is read while it is small', () => {
    expect(() => readArtifact(repeating(10))).toThrow('carries no Pocketpress signature');
  });

  it('is refused before it takes for ever', () => {
    expect(() => readArtifact(repeating(2000))).toThrow('too many elements');
  }, 30_000);
});
