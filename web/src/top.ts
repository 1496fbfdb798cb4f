/** The classes of the largest scores, by name: `Session.top` of Python. */

import { PocketpressError } from './errors';
import { elements, type Signature } from './signature';
import type { Tensor } from './tensors';

export interface Scored {
  readonly label: string;
  readonly score: number;
}

/**
 * The classes of the largest scores by name, best first; of equal scores the first class, NaN last.
 *
 * @param outputs what `run` or `step` returned.
 * @param signature of the session.
 * @param k how many at most.
 * @param output whose scores, where several outputs have labels.
 * @throws PocketpressError of kind `artifact`: no such output has labels, it holds more than one score per class,
 *   or `k` is none.
 */
export function top(
  outputs: Readonly<Record<string, Tensor>>,
  signature: Signature,
  k = 5,
  output?: string,
): Scored[] {
  if (!(k >= 1))
    throw new PocketpressError('artifact', 'k must be positive', { got: k, allowed: '1 or more' });
  const { name, labels } = namedOutput(signature, output);
  const tensor = outputs[name];
  if (tensor === undefined)
    throw new PocketpressError('artifact', `output ${name} was not given`, {
      got: Object.keys(outputs),
      allowed: name,
    });
  if (elements(tensor.shape) !== labels.length) {
    throw new PocketpressError('artifact', `output ${name} is not one score per class`, {
      got: `(${tensor.shape.join(', ')})`,
      allowed: labels.length,
    });
  }
  return Array.from(tensor.data, Number)
    .map((score, i) => ({ label: labels[i] as string, score }))
    .sort((a, b) => descending(a.score, b.score))
    .slice(0, k);
}

function namedOutput(signature: Signature, output?: string): { name: string; labels: readonly string[] } {
  const known = signature.outputs.flatMap(({ name, labels }) => (labels === null ? [] : [{ name, labels }]));
  const [only] = known.length === 1 ? known : [];
  const found = output === undefined ? only : known.find(({ name }) => name === output);
  if (found !== undefined) return found;
  if (known.length === 0) {
    throw new PocketpressError('artifact', 'no output has named classes', {
      nextStep: 'press the network with --labels',
    });
  }
  throw new PocketpressError('artifact', 'not an output of named classes', {
    got: output,
    allowed: known.map(({ name }) => name),
  });
}

function descending(a: number, b: number): number {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return b - a || 0;
}
