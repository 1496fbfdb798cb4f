// The library's types, by the TypeScript compiler.

import { spawnSync } from 'node:child_process';

export async function writeTypes(root, out) {
  const compiler = `${root}/node_modules/typescript/bin/tsc`;
  const options = ['-p', 'build/tsconfig.types.json', '--outDir', `${out}/types`];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...options], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stdout);
}
