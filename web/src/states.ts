/** The states of a network between its steps; as Python's `Session.reset`. */

import { PocketpressError } from './errors';
import { elements, type Signature, type State, type TensorSpec } from './signature';
import { allocate, toFeed, type TypedArray } from './tensors';

/**
 * The value of every state before the first step, in the file's dtypes, by the name of its input.
 *
 * @param given real values instead of the initial ones.
 * @throws PocketpressError of kind `artifact`: a name is no state, or a value does not fit.
 */
export function initialStates(
  signature: Signature,
  given: Readonly<Record<string, TypedArray>>,
): ReadonlyMap<string, TypedArray> {
  const known = signature.states.map((state) => state.input);
  const unknown = Object.keys(given).filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    throw new PocketpressError('artifact', 'unknown state', {
      got: unknown,
      allowed: known.length > 0 ? known : 'none: the network has no state',
    });
  }
  return new Map(
    signature.states.map((state) => {
      const spec = signature.inputs.find(({ name }) => name === state.input) as TensorSpec;
      return [state.input, toFeed(spec, given[state.input] ?? start(state, spec)).slice()];
    }),
  );
}

/** One number for all elements, or one per element, as real values. */
function start({ initial }: State, spec: TensorSpec): TypedArray {
  const values = allocate(spec.scale === null ? spec.dtype : 'float32', elements(spec.shape));
  const big = values instanceof BigInt64Array || values instanceof BigUint64Array;
  for (let i = 0; i < values.length; i++) {
    const value = (initial.length === 1 ? initial[0] : initial[i]) as number;
    values[i] = big ? BigInt(Math.trunc(value)) : value;
  }
  return values;
}
