/** What an `.onnx` file says about itself; the checks of Python's `targets/onnxruntime/model_file.py`.
 *
 * External data, functions and nested graphs, but for the body of a Scan, are never written by Pocketpress and
 * are refused before the runtime sees the bytes. */

import { PocketpressError } from '../errors';
import { parseSignature, type Signature } from '../signature';
import { Damaged } from './flatbuffer';
import { type Field, fieldsOf } from './protobuf';

const SIGNATURE_KEY = 'pocketpress.signature';
const MAX_NODES = 100_000;

/* Field numbers of onnx.proto. */
const MODEL = { irVersion: 1, graph: 7, metadata: 14, training: 20, functions: 25 } as const;
const ENTRY = { key: 1, value: 2 } as const;
const GRAPH = { node: 1, initializer: 5, sparse: 15 } as const;
const TENSOR = { location: 14 } as const;
const NODE = { name: 3, opType: 4, attribute: 5, domain: 7 } as const;
const ATTRIBUTE = { name: 1, graph: 6, type: 20 } as const;
const EXTERNAL = 1;
/** FLOAT, INT, STRING, FLOATS, INTS, STRINGS. */
const PLAIN_ATTRIBUTES = new Set([1, 2, 3, 6, 7, 8]);
const GRAPH_ATTRIBUTE = 5;

/** Whether the first field is the IR version, as every writer of ONNX puts it. */
export function isOnnx(bytes: Uint8Array): boolean {
  return bytes.byteLength > 2 && bytes[0] === MODEL.irVersion << 3;
}

/**
 * The signature inside, after the structure has been checked.
 *
 * @throws PocketpressError of kind `artifact`: damaged, not written by Pocketpress, or holding what it never writes.
 */
export function readOnnx(bytes: Uint8Array): Signature {
  let signatures: Uint8Array[];
  try {
    const model = grouped(bytes);
    if (model.has(MODEL.functions) || model.has(MODEL.training)) throw refused('functions or training data');
    const graphs = messages(model, MODEL.graph);
    if (graphs.length !== 1) throw new Damaged('not one graph');
    const seen = { nodes: 0 };
    for (const graph of graphs) checkGraph(graph, true, seen);
    signatures = messages(model, MODEL.metadata).flatMap(signatureOf);
  } catch (error) {
    if (!(error instanceof Damaged)) throw error;
    throw new PocketpressError('artifact', 'the .onnx file is damaged', {
      got: error.message,
      nextStep: 'fetch or build it again',
    });
  }
  const [signature] = signatures;
  if (signature === undefined || signatures.length !== 1) {
    throw new PocketpressError('artifact', 'the .onnx file carries no Pocketpress signature', {
      nextStep: 'use an artifact written by `pocketpress press`',
    });
  }
  return parseSignature(signature);
}

function signatureOf(entry: Uint8Array): Uint8Array[] {
  const fields = grouped(entry);
  return string(fields, ENTRY.key) === SIGNATURE_KEY ? messages(fields, ENTRY.value).slice(-1) : [];
}

function checkGraph(graph: Uint8Array, loops: boolean, seen: { nodes: number }): void {
  for (const { id, bytes } of fieldsOf(graph)) {
    if (id === GRAPH.sparse) throw refused('sparse tensors');
    if (id === GRAPH.initializer) checkTensor(whole(bytes));
    if (id === GRAPH.node) {
      if (++seen.nodes > MAX_NODES) throw refused(`more than ${MAX_NODES} nodes`);
      checkNode(grouped(whole(bytes)), loops, seen);
    }
  }
}

function checkTensor(tensor: Uint8Array): void {
  for (const { id, number } of fieldsOf(tensor)) {
    if (id === TENSOR.location && number === EXTERNAL) throw refused('references to external data files');
  }
}

function checkNode(node: Map<number, Field[]>, loops: boolean, seen: { nodes: number }): void {
  const scan = string(node, NODE.opType) === 'Scan' && string(node, NODE.domain) === '';
  for (const attribute of messages(node, NODE.attribute)) {
    const fields = grouped(attribute);
    const body = messages(fields, ATTRIBUTE.graph);
    const type = fields.get(ATTRIBUTE.type)?.at(-1)?.number;
    const [graph] = body;
    if (loops && scan && string(fields, ATTRIBUTE.name) === 'body' && type === GRAPH_ATTRIBUTE && graph) {
      checkGraph(graph, false, seen);
    } else if (body.length > 0 || type === undefined || !PLAIN_ATTRIBUTES.has(type)) {
      throw refused(`a nested graph or tensor in node ${string(node, NODE.name)}`);
    }
  }
}

function refused(what: string): PocketpressError {
  return new PocketpressError('artifact', `the .onnx file holds ${what}`, {
    allowed: 'plain operators, one level of Scan',
    nextStep: 'use an artifact written by `pocketpress press`',
  });
}

function grouped(message: Uint8Array): Map<number, Field[]> {
  const found = new Map<number, Field[]>();
  for (const field of fieldsOf(message)) {
    const fields = found.get(field.id);
    if (fields === undefined) found.set(field.id, [field]);
    else fields.push(field);
  }
  return found;
}

function messages(fields: Map<number, Field[]>, id: number): Uint8Array[] {
  return (fields.get(id) ?? []).map((field) => whole(field.bytes));
}

function string(fields: Map<number, Field[]>, id: number): string {
  const bytes = fields.get(id)?.at(-1)?.bytes;
  return bytes ? new TextDecoder().decode(bytes) : '';
}

function whole(bytes: Uint8Array | null): Uint8Array {
  if (bytes === null) throw new Damaged('a message is a number');
  return bytes;
}
