import { createHash } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import { checkSha256, sha256, sha256Here } from '../src/sha256';

const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
const abc = new TextEncoder().encode('abc');

describe('SHA-256', () => {
  it('is that of FIPS 180-4', async () => {
    expect(await sha256(abc)).toBe(ABC);
    expect(Buffer.from(sha256Here(abc)).toString('hex')).toBe(ABC);
  });

  it.each([0, 1, 55, 56, 63, 64, 65, 119, 120, 1000])('of %i bytes is that of Node', (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37) % 251);
    expect(Buffer.from(sha256Here(bytes)).toString('hex')).toBe(
      createHash('sha256').update(bytes).digest('hex'),
    );
  });

  it('refuses other bytes', async () => {
    await expect(checkSha256(abc, ABC.toUpperCase())).resolves.toBeUndefined();
    await expect(checkSha256(new TextEncoder().encode('abd'), ABC)).rejects.toMatchObject({ kind: 'trust' });
  });
});
