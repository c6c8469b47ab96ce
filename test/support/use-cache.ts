/** A process that reads and fills a shared disk cache: node use-cache.ts FOLDER LIMIT ROUNDS SEED. Prints its counts; fails on wrong bytes. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { DiskCache } from '#data/sources/disk-cache.js';
import { philoxBlock } from '#random/philox.js';

const [folder = '', limit, rounds, seed] = process.argv.slice(2);
const cache = await DiskCache.open(folder, Number(limit));
const words = new Uint32Array(4);
let wrong = 0;
for (let round = 0; round < Number(rounds); round++) {
  philoxBlock(words, { k0: Number(seed), k1: 0 }, round, 0, 0, 0);
  // A few thousand names, so that the processes meet.
  const text = `object ${(words[0] as number) % 3000}`;
  const name = createHash('sha256').update(text).digest('hex');
  const bytes = Buffer.alloc(1024 + (Number.parseInt(name.slice(0, 3), 16) % 1024), name);
  const cached = await cache.read(name, 0, bytes.length);
  if (cached === undefined) await cache.write(name, bytes);
  else if (!cached.equals(bytes)) wrong++;
}
await cache.close();
assert.equal(wrong, 0);
console.log(JSON.stringify(cache.counts));
