/** Seconds as µs, ms or s with three digits: Python's `core/words.py`, which writes them when they have arrived. */
export function duration(seconds: number): string {
  for (const [factor, unit] of [
    [1e6, 'µs'],
    [1e3, 'ms'],
  ] as const) {
    if (seconds * factor < 999.5) return `${threeDigits(seconds * factor)} ${unit}`;
  }
  return `${threeDigits(seconds)} s`;
}

/** As Python's `.3g` for numbers from 0.0001 to 999: no zeros at the end. */
function threeDigits(value: number): string {
  return String(Number(value.toPrecision(3)));
}
