// Build the pages and the library, and lay the runtimes' files and the licences beside them.
//
//     node build/build.mjs [--out FOLDER] [--packed] [--cache FOLDER]
//
// Equal inputs give equal bytes.  --packed leaves files of more than 1 MB out where their compressed forms exist:
// the servers of the Python package need no more.  --cache is where large compressed forms are kept between builds.

import { rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { build } from 'vite';

import { compressAll } from './compress.mjs';
import { writeServiceWorker } from './offline.mjs';
import { copyLicences, copyRuntimes } from './runtimes.mjs';
import { writeTypes } from './types.mjs';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const { values } = parseArgs({
  options: {
    out: { type: 'string', default: 'dist' },
    packed: { type: 'boolean', default: false },
    cache: { type: 'string', default: 'node_modules/.cache/pocketpress' },
  },
});
const out = resolve(root, values.out);
const cache = resolve(root, values.cache);

await rm(out, { recursive: true, force: true });
await build({ root, configFile: `${root}/vite.config.ts`, logLevel: 'warn', build: { outDir: out } });
await copyRuntimes(root, out);
await copyLicences(root, out);
await writeTypes(root, out);
await writeServiceWorker(root, out);
await compressAll(out, { packed: values.packed, cache });
