// The photo page's service worker, with the list of files that make one version of the page.

import { createHash } from 'node:crypto';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import ts from 'typescript';

/** LiteRT.js for one thread: the build that a browser loads depends on whether it has relaxed SIMD. */
const RUNTIME = [
  { stem: 'litert_wasm_internal', relaxedSimd: true },
  { stem: 'litert_wasm_compat_internal', relaxedSimd: false },
];

/** Write `photo-sw.js` into a built folder; call it before files are compressed. */
export async function writeServiceWorker(root, out) {
  const files = await Promise.all((await namesOf(out)).map((file) => withHash(out, file)));
  const source = await readFile(`${root}/src/photo/offline-worker/worker.ts`, 'utf8');
  const version = createHash('sha256')
    .update(JSON.stringify(files))
    .update(source)
    .digest('hex')
    .slice(0, 16);
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, removeComments: true },
  });
  const head = `const VERSION = ${JSON.stringify(version)};\nconst FILES = ${JSON.stringify(files, null, 1)};\n`;
  await writeFile(`${out}/photo-sw.js`, head + outputText.replace(/^export \{\};\n/m, ''));
}

/** The page, what it names, what those name, its folder, and the runtime: addresses in order. */
async function namesOf(out) {
  const assets = await readdir(`${out}/assets`);
  const found = new Set();
  const queue = ['photo.html'];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    found.add(name);
    const text = await readFile(join(out, name), 'utf8');
    const named = assets.filter((asset) => text.includes(asset)).map((asset) => `assets/${asset}`);
    queue.push(...named.filter((asset) => !found.has(asset)));
  }
  for (const name of await readdir(`${out}/photo`)) found.add(`photo/${name}`);
  const files = [...found].sort().map((url) => ({ url }));
  return [...files, ...(await runtimeFiles(out))];
}

async function runtimeFiles(out) {
  const folder = (await readdir(`${out}/runtimes`)).find((name) => name.startsWith('litert-'));
  return RUNTIME.flatMap(({ stem, relaxedSimd }) =>
    ['js', 'wasm'].map((suffix) => ({ url: `runtimes/${folder}/${stem}.${suffix}`, relaxedSimd })),
  );
}

async function withHash(out, file) {
  const hash = createHash('sha256')
    .update(await readFile(join(out, file.url)))
    .digest('base64');
  return { ...file, integrity: `sha256-${hash}` };
}
