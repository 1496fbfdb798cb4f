// Compressed forms beside the files: .br for browsers on https or localhost, .gz for those on plain http.

import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

const KINDS = /\.(js|mjs|wasm|html|css|svg|json|webmanifest|txt)$/;
const LEAST_BYTES = 1024;
const PACKED_BYTES = 1 << 20;
/** Quality 9 makes the runtimes 3 % smaller and takes four times as long; 11, another 13 % and forty times. */
const LARGE_QUALITY = 6;
const SMALL_QUALITY = 11;
const FORMS = { gz: gzipped, br: brotlied };

/** Compress every file of `out` that is worth it; `cache` keeps large results from build to build. */
export async function compressAll(out, { packed, cache }) {
  await mkdir(cache, { recursive: true });
  const names = (await readdir(out, { recursive: true })).filter((name) => KINDS.test(name)).sort();
  const queue = names.map((name) => join(out, name));
  const work = async () => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift())
      await compress(path, packed, cache);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
}

async function compress(path, packed, cache) {
  const content = await readFile(path);
  if (content.length < LEAST_BYTES) return;
  let forms = 0;
  for (const [suffix, form] of Object.entries(FORMS)) {
    const small = await cached(content, suffix, form, cache);
    if (small.length >= content.length) continue;
    await writeFile(`${path}.${suffix}`, small);
    forms++;
  }
  const whole = forms === Object.keys(FORMS).length; // a client that takes no other form is sent the gzip's content
  if (packed && whole && content.length > PACKED_BYTES) await rm(path);
}

async function cached(content, suffix, form, cache) {
  if (content.length <= PACKED_BYTES) return form(content);
  const key = createHash('sha256')
    .update(content)
    .update(`${process.version} ${LARGE_QUALITY}`)
    .digest('hex');
  const path = join(cache, `${key}.${suffix}`);
  const kept = await readFile(path).catch(() => null);
  if (kept !== null) return kept;
  const small = await form(content);
  await writeFile(`${path}.${process.pid}`, small);
  await rename(`${path}.${process.pid}`, path);
  return small;
}

/** gzip without a date or a name, so equal files give equal bytes. */
function gzipped(content) {
  return promisify(gzip)(content, { level: 9 });
}

function brotlied(content) {
  const quality = content.length > PACKED_BYTES ? LARGE_QUALITY : SMALL_QUALITY;
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: quality,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
  };
  return promisify(brotliCompress)(content, { params });
}
