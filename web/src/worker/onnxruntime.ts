/** onnxruntime-web. */

import type { Env, InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-common';

import { firstLine, PocketpressError } from '../errors';
import { gpuAdapter } from '../probe';
import type { TypedArray } from '../tensors';
import { forgetRuntimeFile, importScript, runtimeFile } from './files';
import type { Backend, Loaded, OpenRequest } from './protocol';

interface Ort {
  readonly env: Env;
  readonly InferenceSession: {
    create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: TensorConstructor;
}

/** How an error begins that is about the runtime, and not about the network. */
const NOT_LOADED = /^no available backend found/;

/** Load the runtime and the network.
 *
 * The runtime's own classic script is used as it is: through a bundler its threads hang.
 *
 * @throws PocketpressError of kind `artifact` for a file that it refuses, `device` where the runtime cannot be
 *   loaded. */
export async function openOnnxRuntime(request: OpenRequest): Promise<Loaded> {
  const gpu = request.backend === 'webgpu';
  if (gpu && (await gpuAdapter()) === null) {
    throw new PocketpressError('unsupported', 'no WebGPU device', { nextStep: "open with backend: 'wasm'" });
  }
  const build = gpu ? 'ort-wasm-simd-threaded.asyncify' : 'ort-wasm-simd-threaded';
  importScript(`${request.folder}${gpu ? 'ort.webgpu.min.js' : 'ort.wasm.min.js'}`);
  const { ort } = self as unknown as { ort: Ort };
  ort.env.logLevel = 'error';
  ort.env.wasm.numThreads = request.backend === 'wasm-threads' ? request.threads : 1;
  ort.env.wasm.proxy = false;
  ort.env.wasm.wasmPaths = { mjs: `${request.folder}${build}.mjs` };
  const address = `${request.folder}${build}.wasm`;
  ort.env.wasm.wasmBinary = await (await runtimeFile(address)).arrayBuffer();
  let session: InferenceSession;
  try {
    session = await ort.InferenceSession.create(request.bytes, {
      executionProviders: [gpu ? 'webgpu' : 'wasm'],
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      logSeverityLevel: 4,
    });
  } catch (error) {
    if (NOT_LOADED.test(firstLine(error))) {
      await forgetRuntimeFile(address);
      throw new PocketpressError('device', 'onnxruntime-web cannot be loaded', {
        got: firstLine(error),
        nextStep: 'try again; the runtime is fetched anew',
      });
    }
    throw new PocketpressError('artifact', 'onnxruntime-web cannot load the artifact', {
      got: firstLine(error),
    });
  }
  checkBorder(session, request);
  return new OnnxRuntime(ort, session, request);
}

class OnnxRuntime implements Loaded {
  readonly backend: Backend;
  readonly threads: number;

  constructor(
    private readonly ort: Ort,
    private readonly session: InferenceSession,
    private readonly request: OpenRequest,
  ) {
    this.threads = request.backend === 'wasm-threads' ? (ort.env.wasm.numThreads ?? 1) : 1;
    this.backend = request.backend === 'wasm-threads' && this.threads === 1 ? 'wasm' : request.backend;
  }

  async run(feeds: readonly TypedArray[]): Promise<TypedArray[]> {
    const given: Record<string, Tensor> = {};
    for (const [i, { name, dtype, shape }] of this.request.inputs.entries()) {
      given[name] = new this.ort.Tensor(dtype, feeds[i] as Float32Array, shape) as Tensor;
    }
    const results = await this.session.run(given);
    return this.request.outputs.map(({ name }) => (results[name] as Tensor).data as TypedArray);
  }
}

function checkBorder(session: InferenceSession, request: OpenRequest): void {
  for (const [metadata, specs] of [
    [session.inputMetadata, request.inputs],
    [session.outputMetadata, request.outputs],
  ] as const) {
    const found = metadata.map((m) => (m.isTensor ? `${m.name} ${m.type} (${m.shape.join(', ')})` : m.name));
    const wanted = specs.map((spec) => `${spec.name} ${spec.dtype} (${spec.shape.join(', ')})`);
    if (found.join() !== wanted.join()) {
      throw new PocketpressError('artifact', 'tensors differ from the embedded signature', {
        got: found,
        allowed: wanted,
      });
    }
  }
}
