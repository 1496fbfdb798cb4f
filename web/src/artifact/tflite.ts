/** What a `.tflite` file says about itself; the checks of Python's `targets/litert/inspection.py`. */

import { PocketpressError } from '../errors';
import { parseSignature, type Signature } from '../signature';
import { Damaged, Table } from './flatbuffer';

const IDENTIFIER = 'TFL3';
const SCHEMA_VERSION = 3;
const SIGNATURE_METADATA = 'pocketpress.signature';
const MIN_SIZE_BYTES = 64;
const MAX_TENSORS = 1 << 20;
const MAX_ENTRIES = 1 << 20;

/* Field numbers of schema.fbs, version 3. */
const MODEL = { version: 0, operatorCodes: 1, subgraphs: 2, buffers: 4, metadata: 6 } as const;
const SUBGRAPH = { tensors: 0, inputs: 1, outputs: 2, operators: 3 } as const;
const TENSOR = { buffer: 2 } as const;
const OPERATOR = { opcodeIndex: 0, inputs: 1, outputs: 2 } as const;
const METADATA = { name: 0, buffer: 1 } as const;
const BUFFER = { data: 0 } as const;

export function isTflite(bytes: Uint8Array): boolean {
  return bytes.byteLength >= MIN_SIZE_BYTES && String.fromCharCode(...bytes.subarray(4, 8)) === IDENTIFIER;
}

/**
 * The signature inside, after the structure has been checked.
 *
 * @throws PocketpressError of kind `artifact`: damaged, or not written by Pocketpress.
 */
export function readTflite(bytes: Uint8Array): Signature {
  let signature: Uint8Array | null;
  try {
    const model = Table.root(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    checkModel(model);
    signature = signatureBytes(model);
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    throw new PocketpressError('artifact', 'the .tflite file is damaged', {
      got: error.message,
      nextStep: 'fetch or build it again',
    });
  }
  if (signature === null) {
    throw new PocketpressError('artifact', 'the .tflite file carries no Pocketpress signature', {
      nextStep: 'use an artifact written by `pocketpress press`',
    });
  }
  return parseSignature(signature);
}

function checkModel(model: Table): void {
  const subgraphs = model.tables(MODEL.subgraphs, MAX_ENTRIES);
  if (model.uint32(MODEL.version) !== SCHEMA_VERSION || subgraphs.length === 0) {
    throw new Damaged('version or subgraphs');
  }
  const buffers = model.tables(MODEL.buffers, MAX_ENTRIES);
  for (const buffer of buffers) buffer.bytes(BUFFER.data);
  const codes = model.tables(MODEL.operatorCodes, MAX_ENTRIES).length;
  for (const graph of subgraphs) checkGraph(graph, buffers.length, codes);
}

function checkGraph(graph: Table, buffers: number, codes: number): void {
  const tensors = graph.tables(SUBGRAPH.tensors, MAX_TENSORS);
  if (tensors.some((tensor) => tensor.uint32(TENSOR.buffer) >= buffers))
    throw new Damaged('buffer out of range');
  const check = (table: Table, field: number, least: number): void => {
    if (table.int32s(field, MAX_TENSORS).some((i) => i < least || i >= tensors.length)) {
      throw new Damaged('tensor out of range');
    }
  };
  for (const operator of graph.tables(SUBGRAPH.operators, MAX_ENTRIES)) {
    if (operator.uint32(OPERATOR.opcodeIndex) >= codes) throw new Damaged('operator code out of range');
    check(operator, OPERATOR.inputs, -1);
    check(operator, OPERATOR.outputs, 0);
  }
  check(graph, SUBGRAPH.inputs, 0);
  check(graph, SUBGRAPH.outputs, 0);
}

function signatureBytes(model: Table): Uint8Array | null {
  const buffers = model.tables(MODEL.buffers, MAX_ENTRIES);
  for (const entry of model.tables(MODEL.metadata, MAX_ENTRIES)) {
    if (entry.string(METADATA.name) !== SIGNATURE_METADATA) continue;
    const data = buffers[entry.uint32(METADATA.buffer)]?.bytes(BUFFER.data);
    if (data) return data;
  }
  return null;
}
