import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Version of an installed package. */
function version(name: string): string {
  const text = readFileSync(`${here}node_modules/${name}/package.json`, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Every page in this folder is an entry, and so is the library itself. */
const pages = readdirSync(here).filter((name) => name.endsWith('.html'));

export default defineConfig({
  root: here,
  base: './',
  define: {
    __LITERT_VERSION__: JSON.stringify(version('@litertjs/core')),
    __ONNXRUNTIME_VERSION__: JSON.stringify(version('onnxruntime-web')),
  },
  build: {
    target: 'es2022',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    rollupOptions: {
      input: {
        pocketpress: `${here}src/index.ts`,
        ...Object.fromEntries(pages.map((p) => [p.slice(0, -5), here + p])),
      },
      preserveEntrySignatures: 'exports-only',
      output: {
        entryFileNames: (chunk) =>
          chunk.name === 'pocketpress' ? 'assets/pocketpress.js' : 'assets/[name]-[hash].js',
      },
    },
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
