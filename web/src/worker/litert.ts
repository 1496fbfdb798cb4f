/** LiteRT.js. */

import {
  type CompiledModel,
  Environment,
  getDefaultEnvironment,
  loadAndCompile,
  loadLiteRt,
  Tensor,
  supportsFeature,
} from '@litertjs/core';

import { firstLine, PocketpressError } from '../errors';
import type { DType, TensorSpec } from '../signature';
import type { TypedArray } from '../tensors';
import { forgetRuntimeFile, runtimeFile } from './files';
import type { Backend, Loaded, OpenRequest } from './protocol';

/** What the runtime writes to the error stream and is no error. */
const CHATTER = /^((INFO|WARNING|VERBOSE):|[IW]\d{4} )/;
const BORDER: readonly DType[] = ['float32', 'int32', 'uint8'];

/** Load the flavour of the runtime that fits, and compile the network.
 *
 * @throws PocketpressError of kind `unsupported` for borders that LiteRT.js refuses, `artifact` for a file that
 *   it refuses, `device` where the runtime cannot be loaded. */
export async function openLiteRt(request: OpenRequest): Promise<Loaded> {
  for (const spec of [...request.inputs, ...request.outputs]) checkBorder(spec);
  const threaded = request.backend === 'wasm-threads';
  await load(request.folder, await flavour(threaded));
  const environment = request.backend === 'webgpu' ? await Environment.create() : getDefaultEnvironment();
  if (request.backend === 'webgpu' && environment.webGpuDevice === null) {
    throw new PocketpressError('unsupported', 'no WebGPU device', { nextStep: "open with backend: 'wasm'" });
  }
  let model: CompiledModel;
  try {
    model = await loadAndCompile(request.bytes, {
      environment,
      accelerator: request.backend === 'webgpu' ? 'webgpu' : 'wasm',
      cpuOptions: { numThreads: threaded ? request.threads : 1 },
      ...(request.backend === 'webgpu' ? { gpuOptions: { precision: 'fp32' } } : {}),
    });
  } catch (error) {
    throw new PocketpressError('artifact', 'LiteRT.js cannot load the artifact', { got: firstLine(error) });
  }
  if (request.backend === 'webgpu' && !model.isFullyAccelerated) {
    // The rest would need the runtime's build with JSPI; this one throws at the first inference, which the worker
    // tries as well: an 8-bit network is said to be fully accelerated where XNNPACK takes the rest.
    throw new PocketpressError('unsupported', 'LiteRT.js cannot run all of the network on WebGPU', {
      nextStep: "open with backend: 'wasm'",
    });
  }
  checkDetails(model, request);
  return new LiteRt(model, environment, request);
}

class LiteRt implements Loaded {
  readonly backend: Backend;
  readonly threads: number;

  constructor(
    private readonly model: CompiledModel,
    private readonly environment: Environment,
    private readonly request: OpenRequest,
  ) {
    this.backend = request.backend;
    this.threads = this.backend === 'wasm-threads' ? request.threads : 1;
  }

  async run(feeds: readonly TypedArray[]): Promise<TypedArray[]> {
    const given: Record<string, Tensor> = {};
    const owned: Tensor[] = [];
    try {
      for (const [i, spec] of this.request.inputs.entries()) {
        const host = new Tensor(feeds[i] as Float32Array, [...spec.shape], this.environment);
        owned.push(host);
        given[spec.name] = host;
        if (this.backend === 'webgpu') {
          given[spec.name] = await host.copyTo('webgpu', { environment: this.environment });
          owned.push(given[spec.name] as Tensor);
        }
      }
      const results = await this.model.run(given);
      owned.push(...Object.values(results));
      const arrays: TypedArray[] = [];
      for (const spec of this.request.outputs) arrays.push(await (results[spec.name] as Tensor).data());
      return arrays;
    } finally {
      for (const tensor of owned) if (!tensor.deleted) tensor.delete();
    }
  }
}

/** The glue file: threads need relaxed SIMD; without it there is the compatible build. */
async function flavour(threaded: boolean): Promise<string> {
  const relaxed = await supportsFeature('relaxedSimd');
  if (threaded) return 'litert_wasm_threaded_internal';
  return relaxed ? 'litert_wasm_internal' : 'litert_wasm_compat_internal';
}

async function load(folder: string, name: string): Promise<void> {
  const script = `${folder}${name}.js`;
  const address = `${folder}${name}.wasm`;
  const wasm = await runtimeFile(address);
  try {
    // Emscripten waits for ever when instantiation fails, so that is watched from here.
    await new Promise<void>((resolve, reject) => {
      const instantiateWasm = (imports: WebAssembly.Imports, done: Instantiated): object => {
        instantiate(wasm, imports).then(({ instance, module }) => done(instance, module), reject);
        return {};
      };
      const locateFile = (file: string): string => folder + file;
      const scope = self as unknown as { Module: unknown };
      scope.Module = {
        locateFile,
        mainScriptUrlOrBlob: script,
        print: told,
        printErr: told,
        instantiateWasm,
      };
      withoutGpu(() => loadLiteRt(script)).then(() => resolve(), reject);
    });
  } catch (error) {
    await forgetRuntimeFile(address);
    throw new PocketpressError('device', 'LiteRT.js cannot be loaded', {
      got: firstLine(error),
      nextStep: 'try again; the runtime is fetched anew',
    });
  }
}

type Instantiated = (instance: WebAssembly.Instance, module: WebAssembly.Module) => void;

/** While it arrives, where the server says what it is. */
async function instantiate(
  wasm: Response,
  imports: WebAssembly.Imports,
): Promise<WebAssembly.WebAssemblyInstantiatedSource> {
  const streams = wasm.headers.get('Content-Type')?.startsWith('application/wasm') === true;
  return streams
    ? WebAssembly.instantiateStreaming(wasm, imports)
    : WebAssembly.instantiate(await wasm.arrayBuffer(), imports);
}

function told(line: string): void {
  if (!CHATTER.test(line)) console.error(line);
}

/** `loadLiteRt` asks for a GPU device and warns where there is none; ours is asked for when it is wanted. */
async function withoutGpu<T>(action: () => Promise<T>): Promise<T> {
  const refuse = { requestAdapter: () => Promise.resolve(null) };
  const { warn } = console;
  Object.defineProperty(navigator, 'gpu', { configurable: true, value: refuse });
  console.warn = () => undefined;
  try {
    return await action();
  } finally {
    Reflect.deleteProperty(navigator, 'gpu');
    console.warn = warn;
  }
}

function checkBorder(spec: TensorSpec): void {
  if (BORDER.includes(spec.dtype)) return;
  throw new PocketpressError('unsupported', `LiteRT.js takes no ${spec.dtype} tensors: ${spec.name}`, {
    allowed: BORDER,
    nextStep: 'press the network with --target web',
  });
}

function checkDetails(model: CompiledModel, request: OpenRequest): void {
  for (const [details, specs] of [
    [model.getInputDetails(), request.inputs],
    [model.getOutputDetails(), request.outputs],
  ] as const) {
    const found = details
      .map(({ name, dtype, shape }) => `${name} ${dtype} (${[...shape].join(', ')})`)
      .sort();
    const wanted = specs.map(({ name, dtype, shape }) => `${name} ${dtype} (${shape.join(', ')})`).sort();
    if (found.join() !== wanted.join()) {
      throw new PocketpressError('artifact', 'tensors differ from the embedded signature', {
        got: found,
        allowed: wanted,
      });
    }
  }
}
