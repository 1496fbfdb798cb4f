import { describe, expect, it } from 'vitest';

import { PocketpressError } from '../src/errors';
import { parseSignature, type Signature, type TensorSpec } from '../src/signature';
import type { Tensor } from '../src/tensors';
import { top } from '../src/top';
import { floats, vectors } from './vectors';

interface LabelVector {
  /** How often each value of the list is repeated; null where `labels` is the value itself. */
  readonly runs: number[] | null;
  readonly labels: unknown;
  readonly shape: number[];
  readonly of: 'inputs' | 'outputs';
  readonly taken: boolean;
}

interface TopVector {
  readonly scores: string;
  readonly labels: string[];
  readonly k: number;
  readonly best: string[];
  readonly best_scores: string;
}

function listed({ runs, labels }: LabelVector): unknown {
  if (runs === null) return labels;
  return (labels as unknown[]).flatMap((label, i) => new Array<unknown>(runs[i] as number).fill(label));
}

/** A signature of one input and one output, one of which has labels. */
function signed(vector: LabelVector): Uint8Array {
  const tensor = { name: 'x', shape: vector.shape, dtype: 'float32' };
  const named = { ...tensor, labels: listed(vector) };
  const sides = { inputs: [tensor], outputs: [tensor], [vector.of]: [named] };
  return new TextEncoder().encode(JSON.stringify({ format: 1, ...sides }));
}

describe('labels', () => {
  const all = vectors<LabelVector[]>('labels');

  it.each(all.map((vector) => [shown(vector), vector] as const))('%s', (_, vector) => {
    const read = (): Signature => parseSignature(signed(vector));
    if (vector.taken) {
      const expected = vector.of === 'outputs' ? (listed(vector) ?? null) : null;
      expect(read().outputs[0]?.labels).toEqual(expected);
    } else {
      expect(read).toThrow(PocketpressError);
      expect(read).toThrow('embedded signature is malformed');
    }
  });

  it('are tried both ways', () => {
    expect(all.filter(({ taken }) => taken).length).toBeGreaterThan(5);
    expect(all.filter(({ taken }) => !taken).length).toBeGreaterThan(15);
  });
});

function shown({ labels, runs, shape, of, taken }: LabelVector): string {
  const value = JSON.stringify(labels).slice(0, 40);
  return `${value} ${runs === null ? '' : `x ${runs.join()} `}of ${of} (${shape.join()}): ${taken ? 'taken' : 'refused'}`;
}

function output(name: string, labels: readonly string[] | null, length = 3): TensorSpec {
  const numbers = { scale: null, zeroPoint: 0, gridScale: null, gridZeroPoint: 0, exact: false, rows: null };
  return { name, shape: [1, length], dtype: 'float32', labels, ...numbers };
}

function signature(...outputs: TensorSpec[]): Signature {
  return { inputs: [], outputs, preprocessing: null, precision: 'fp32', states: [] };
}

function tensor(name: string, data: Float32Array): Record<string, Tensor> {
  return { [name]: { name, shape: [1, data.length], data } };
}

describe('top', () => {
  it.each(vectors<TopVector[]>('top'))('is that of Python: $best', (vector) => {
    const scores = floats(vector.scores);
    const got = top(tensor('y', scores), signature(output('y', vector.labels, scores.length)), vector.k);
    expect(got.map(({ label }) => label)).toEqual(vector.best);
    expect(Float32Array.from(got, ({ score }) => score)).toEqual(floats(vector.best_scores));
  });

  const names = ['a', 'b', 'c'];
  const scores = tensor('y', Float32Array.of(1, 3, 2));

  it('takes the output that is named', () => {
    const two = signature(output('z', names), output('y', names));
    expect(top(scores, two, 1, 'y')).toEqual([{ label: 'b', score: 3 }]);
    expect(() => top(scores, two)).toThrow('not an output of named classes; allowed: z, y');
    expect(() => top(scores, two, 1, 'x')).toThrow('not an output of named classes: got x; allowed: z, y');
    expect(() => top(scores, two, 1, 'z')).toThrow('output z was not given: got y; allowed: z');
  });

  it('refuses what it cannot tell', () => {
    const unnamed = signature(output('y', null));
    expect(() => top(scores, unnamed)).toThrow(
      'no output has named classes; press the network with --labels',
    );
    const rows = tensor('y', Float32Array.of(1, 2, 3, 4, 5, 6));
    const message = 'output y is not one score per class: got (1, 6); allowed: 3';
    expect(() => top(rows, signature(output('y', names)))).toThrow(message);
    for (const k of [0, -1, NaN])
      expect(() => top(scores, signature(output('y', names)), k)).toThrow('k must be positive');
  });
});
