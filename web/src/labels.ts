/** Names of an output's classes: the rules of Python's `core/labels.py`. */

export const MAX_LABELS = 1 << 16;
const MAX_LABEL_BYTES = 256;
/** Of all labels of an output together, in UTF-8. */
const MAX_LABELS_BYTES = 1 << 19;

const NOT_PRINTED = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
/** With `u`, halves of surrogate pairs match only where the other half is missing. */
const HALF = /[\ud800-\udfff]/u;

/** Whether these are names of the classes of an output of this shape; nothing else is taken for them. */
export function areLabels(items: readonly unknown[], shape: readonly number[]): items is string[] {
  const encoder = new TextEncoder();
  let size = 0;
  for (const item of items) {
    if (typeof item !== 'string' || item === '' || HALF.test(item) || NOT_PRINTED.test(item)) return false;
    const bytes = encoder.encode(item).length;
    if (bytes > MAX_LABEL_BYTES) return false;
    size += bytes;
  }
  // Classes lie along any axis but the batch's, which is the first of several.
  const counts = shape.length > 1 ? shape.slice(1) : shape;
  const fits = items.length > 0 && counts.includes(items.length);
  return fits && size <= MAX_LABELS_BYTES;
}
