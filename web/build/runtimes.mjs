// Which files of the runtimes' packages are served, and where.

import { chmod, copyFile, cp, mkdir, readFile } from 'node:fs/promises';

/** LiteRT.js: plain, for browsers without relaxed SIMD, with threads; each is glue and WebAssembly. */
const LITERT = ['litert_wasm_internal', 'litert_wasm_compat_internal', 'litert_wasm_threaded_internal'];

/** onnxruntime-web: its script, and a WebAssembly with its glue, for the processor and for WebGPU. */
const ONNXRUNTIME = [
  'ort.wasm.min.js',
  'ort-wasm-simd-threaded.mjs',
  'ort-wasm-simd-threaded.wasm',
  'ort.webgpu.min.js',
  'ort-wasm-simd-threaded.asyncify.mjs',
  'ort-wasm-simd-threaded.asyncify.wasm',
];

/** Copy into `runtimes/<name>-<version>/`. */
export async function copyRuntimes(root, out) {
  const litert = LITERT.flatMap((name) => [`wasm/${name}.js`, `wasm/${name}.wasm`]);
  await copyPackage(root, '@litertjs/core', 'litert', out, litert);
  await copyPackage(
    root,
    'onnxruntime-web',
    'onnxruntime',
    out,
    ONNXRUNTIME.map((name) => `dist/${name}`),
  );
}

async function copyPackage(root, name, short, out, files) {
  const source = `${root}/node_modules/${name}`;
  const { version } = JSON.parse(await readFile(`${source}/package.json`, 'utf8'));
  const folder = `${out}/runtimes/${short}-${version}`;
  await mkdir(folder, { recursive: true });
  for (const file of files) {
    const target = `${folder}/${file.split('/').at(-1)}`;
    await copyFile(`${source}/${file}`, target);
    await chmod(target, 0o644);
  }
}

export async function copyLicences(root, out) {
  await cp(`${root}/licences`, `${out}/licences`, { recursive: true });
}
