/** What this page and `pocketpress bench --phone` say to each other: Python's `devices/phone/messages.py`. */

import type { DType } from '../signature';

export interface Golden {
  readonly name: string;
  readonly samples: number;
  /** Whether outputs of the float network are there too. */
  readonly floats: boolean;
  readonly inputs: readonly { readonly dtype: DType; readonly elements: number }[];
  readonly outputs: readonly GoldenOutput[];
}

export interface GoldenOutput {
  readonly name: string;
  readonly elements: number;
  readonly grid_scale: number | null;
  readonly exact: boolean;
  readonly tolerance: number;
}

export interface Task {
  readonly task: string;
  readonly artifact: string;
  readonly sha256: string;
  readonly size_bytes: number;
  readonly backend: 'auto' | 'wasm' | 'webgpu';
  readonly float: { readonly sha256: string; readonly size_bytes: number } | null;
  readonly golden: Golden | null;
}

export interface Plan {
  readonly warmup: number;
  readonly block: number;
  readonly repeats: number;
  readonly rounds: number;
  readonly repeat_s: number;
}

export interface Job {
  readonly tasks: readonly Task[];
  readonly refused: readonly { readonly artifact: string; readonly reason: string }[];
  readonly plan: Plan;
  readonly threads: number | null;
  readonly sustained_s: number;
  readonly beat_s: number;
}

/** A row of the table of all phones: texts, as the terminal shows them. */
export interface Row {
  readonly phone: string;
  readonly artifact: string;
  readonly runtime: string;
  readonly equal: string;
  readonly median: string;
  readonly p90: string;
  readonly speedup: string;
  readonly load: string;
  readonly sustained: string;
  readonly steady: boolean | null;
  readonly state: string;
  readonly remark: string;
}

export interface Answer {
  readonly table: readonly Row[];
  readonly ended: boolean;
  readonly lease: boolean;
  readonly name?: string;
  readonly done?: readonly string[];
}

export interface OutputAgreement {
  readonly name: string;
  readonly elements: number;
  readonly equal: number;
  readonly within_1: number;
  readonly max_steps: number;
  readonly max_abs: number;
  readonly signal: number;
  readonly noise: number;
  readonly float_signal: number | null;
  readonly float_noise: number | null;
}

export interface Agreement {
  readonly samples: number;
  readonly argmax_equal: number;
  readonly outputs: readonly OutputAgreement[];
}

export interface Timings {
  readonly seconds: readonly (readonly number[])[];
  readonly float_seconds: readonly (readonly number[])[] | null;
  readonly warmup: number;
  readonly overhead_s: number;
  readonly discarded: number;
}

export interface Sustained {
  readonly seconds: number;
  readonly runs: number;
  readonly medians: readonly number[];
  readonly last: readonly number[];
  readonly interrupted: boolean;
}

export type Outcome = 'measured' | 'refused' | 'tampered' | 'failed';

/** Everything of a result but who sends it. */
export interface Result {
  readonly task: string;
  readonly outcome: Outcome;
  readonly reason?: string;
  readonly runtime?: string;
  readonly backend?: 'wasm' | 'wasm-threads' | 'webgpu';
  readonly threads?: number;
  readonly download_s?: number;
  readonly load_s?: number;
  readonly first_number_s?: number;
  readonly memory_bytes?: number | null;
  readonly agreement?: Agreement | null;
  readonly timings?: Timings | null;
  readonly sustained?: Sustained | null;
  readonly notes?: readonly string[];
}
