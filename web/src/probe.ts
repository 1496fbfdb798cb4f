/** What this browser can do, found by trying. */

export interface GpuAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Computed by the processor: right, and slow. */
  readonly fallback: boolean;
  readonly float16: boolean;
}

export interface Capabilities {
  readonly userAgent: string;
  /** Logical processors that the browser admits to. */
  readonly cores: number;
  /** Rounded and capped by the browser; null where it does not tell. */
  readonly deviceMemoryGb: number | null;
  readonly secureContext: boolean;
  readonly crossOriginIsolated: boolean;
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  /** WebAssembly threads: the page is isolated, has SharedArrayBuffer and the engine takes shared memory. */
  readonly threads: boolean;
  readonly webgpu: GpuAdapter | null;
}

/* Smallest modules that use a feature; source: https://github.com/GoogleChromeLabs/wasm-feature-detect. */
const HEAD = [0, 97, 115, 109, 1, 0, 0, 0];
const SIMD = [...HEAD, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];
const RELAXED = [
  ...HEAD, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15, 253, 128, 2, 11,
]; // prettier-ignore
const THREADS = [
  ...HEAD, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 5, 4, 1, 3, 1, 1, 10, 11, 1, 9, 0, 65, 0, 254, 16, 2, 0, 26, 11,
]; // prettier-ignore

function validates(module: number[]): boolean {
  return typeof WebAssembly === 'object' && WebAssembly.validate(new Uint8Array(module));
}

export async function probe(): Promise<Capabilities> {
  const { userAgent, hardwareConcurrency } = navigator;
  const { deviceMemory } = navigator as { deviceMemory?: number };
  return {
    userAgent,
    cores: hardwareConcurrency || 1,
    deviceMemoryGb: deviceMemory ?? null,
    secureContext: isSecureContext,
    crossOriginIsolated: crossOriginIsolated === true,
    simd: validates(SIMD),
    relaxedSimd: validates(RELAXED),
    threads: hasThreads(),
    webgpu: await gpuAdapter(),
  };
}

/** Without isolation runtimes throw or hang when they are asked for threads. */
export function hasThreads(): boolean {
  return crossOriginIsolated === true && typeof SharedArrayBuffer !== 'undefined' && validates(THREADS);
}

/** LiteRT.js has its threads in its build with relaxed SIMD only. */
export function hasRelaxedSimd(): boolean {
  return validates(RELAXED);
}

export function hasSimd(): boolean {
  return validates(SIMD);
}

export async function gpuAdapter(): Promise<GpuAdapter | null> {
  if (typeof navigator.gpu === 'undefined') return null;
  try {
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (adapter === null) return null;
    const { vendor, architecture, description } = adapter.info;
    const fallback =
      (adapter.info as { isFallbackAdapter?: boolean }).isFallbackAdapter === true ||
      architecture === 'swiftshader';
    return { vendor, architecture, description, fallback, float16: adapter.features.has('shader-f16') };
  } catch {
    return null;
  }
}
