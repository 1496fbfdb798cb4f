import { describe, expect, it } from 'vitest';

import { duration } from '../src/bench/duration';
import { Comparison, readSamples } from '../src/bench/golden';
import { fromUserAgent, phone } from '../src/bench/identity';
import type { Golden } from '../src/bench/protocol';
import type { TensorSpec } from '../src/signature';

const spec = (name: string, over: Partial<TensorSpec>): TensorSpec => ({
  name,
  shape: [1, 2],
  dtype: 'float32',
  scale: null,
  zeroPoint: 0,
  gridScale: null,
  gridZeroPoint: 0,
  exact: false,
  rows: null,
  labels: null,
  ...over,
});

const LAYOUT: Golden = {
  name: 'g',
  samples: 2,
  floats: true,
  inputs: [{ dtype: 'int8', elements: 3 }],
  outputs: [
    { name: 'logits', elements: 2, grid_scale: 0.5, exact: false, tolerance: 1 },
    { name: 'score', elements: 1, grid_scale: null, exact: false, tolerance: 0.01 },
  ],
};

function bytesOf(): ArrayBuffer {
  const parts: number[] = [];
  const floats = (values: number[]): void =>
    void parts.push(...new Uint8Array(new Float32Array(values).buffer));
  for (const sample of [0, 1]) {
    parts.push(1, 255, sample);
    floats([1.5, -2, 0.25]);
    floats([1.4, -2, 0.25]);
  }
  return new Uint8Array(parts).buffer;
}

describe('golden samples', () => {
  it('lie one after the other, unaligned', () => {
    const samples = readSamples(bytesOf(), LAYOUT);
    expect(samples).toHaveLength(2);
    expect(samples[1]?.feeds[0]).toEqual(new Int8Array([1, -1, 1]));
    expect(samples[1]?.reference).toEqual([new Float32Array([1.5, -2]), new Float32Array([0.25])]);
    expect(samples[1]?.floats?.[0]).toEqual(new Float32Array([1.4, -2]));
  });

  it('are refused when some are missing', () => {
    expect(() => readSamples(bytesOf().slice(1), LAYOUT)).toThrow('the golden samples are incomplete');
  });

  it('are counted by hand', () => {
    const [first, second] = readSamples(bytesOf(), LAYOUT);
    if (first === undefined || second === undefined) throw new Error('two samples');
    const specs = [
      spec('logits', { dtype: 'int8', scale: 0.5, zeroPoint: 1, gridScale: 0.5 }),
      spec('score', {}),
    ];
    const comparison = new Comparison(LAYOUT, specs);
    comparison.add([new Int8Array([4, -3]), new Float32Array([0.25])], first); // 1.5, -2: equal
    comparison.add([new Int8Array([-6, -2]), new Float32Array([0.265])], second); // -3.5, -1.5: 10 steps and 1
    const { samples, argmax_equal, outputs } = comparison.agreement;
    expect([samples, argmax_equal]).toEqual([2, 1]);
    expect(outputs[0]).toMatchObject({ elements: 4, equal: 2, within_1: 3, max_steps: 10, max_abs: 5 });
    expect(outputs[0]?.signal).toBeCloseTo(2 * (2.25 + 4), 10);
    expect(outputs[0]?.noise).toBeCloseTo(25 + 0.25, 10);
    expect(outputs[0]?.float_noise).toBeCloseTo(0.01 + 4.9 ** 2 + 0.25, 5);
    expect(outputs[1]?.max_steps).toBeCloseTo(1.5, 4);
    expect(outputs[1]).toMatchObject({ elements: 2, equal: 1, within_1: 1 });
  });

  it('count a wreck as far away, and not as no number', () => {
    const [first] = readSamples(bytesOf(), LAYOUT);
    if (first === undefined) throw new Error('a sample');
    const comparison = new Comparison(LAYOUT, [spec('logits', {}), spec('score', {})]);
    comparison.add([new Float32Array([NaN, Infinity]), new Float32Array([-Infinity])], first);
    for (const output of comparison.agreement.outputs) {
      expect(output.equal).toBe(0);
      expect(output.max_steps).toBe(2 ** 31 - 1);
      expect(Number.isFinite(output.noise)).toBe(true);
    }
  });
});

describe('who this is', () => {
  it.each([
    [
      'Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36',
      'Pixel 7',
      'Android 14',
      'Chrome 126.0.0.0',
    ],
    [
      'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36',
      'Android phone',
      'Android 10',
      'Chrome 126.0.0.0',
    ],
    [
      'Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1',
      'iPhone',
      'iOS 17.5',
      'Safari 17.5',
    ],
    ['', '', '', ''],
  ])('reads %s', (agent, model, platform, browser) => {
    expect(fromUserAgent(agent)).toEqual({ model, platform, browser });
  });
});

describe('the identity of a phone', () => {
  it('is what the command told it in an earlier run', () => {
    expect(phone('pocketpress-phone=0123456789abcdef')).toBe('0123456789abcdef');
    expect(phone('a=b; pocketpress-phone=0123456789abcdef; c=d')).toBe('0123456789abcdef');
  });

  it.each(['', 'pocketpress-phone=', 'pocketpress-phone=short', 'x-pocketpress-phone=0123456789abcdef'])(
    'is made anew without such a cookie: %s',
    (cookies) => {
      expect(phone(cookies)).toMatch(/^[0-9a-f]{32}$/);
      expect(phone(cookies)).not.toBe('0123456789abcdef');
    },
  );
});

describe('duration', () => {
  it.each([
    [0.000_072_5, '72.5 µs'],
    [0.000_17, '170 µs'],
    [0.000_999_6, '1 ms'],
    [0.001_234_5, '1.23 ms'],
    [0.9994, '999 ms'],
    [0.9996, '1 s'],
    [2.345, '2.35 s'],
    [0, '0 µs'],
  ])('of %d s is %s, as Python writes it', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });
});
