import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { ExchangePlan } from '#collectives/index.js';
import { choices, contiguous, scattered, wholeSum } from '../support/exchange-cases.js';
import { MeshProcesses, whyNoGloo } from '../support/mesh-processes.js';

const skip = whyNoGloo() ?? false;
const ELEMENTS = 200_003;
const sha256 = (values: Float32Array) => createHash('sha256').update(new Uint8Array(values.buffer)).digest('hex');

test('sums have the same bits for 1, 2, 3, 4, 5, 7 and 8 processes, and 8, 13 and 16 leaves, whoever holds which', { skip }, async (t) => {
  const processes = new MeshProcesses(t);
  const all = Array.from({ length: 8 }, () => processes.start());
  const expected = new Map([8, 13, 16].map((leaves) => [leaves, sha256(wholeSum(leaves, ELEMENTS))]));
  for (const size of [1, 2, 3, 4, 5, 7, 8]) {
    const members = all.slice(0, size);
    await processes.connect(members);
    for (const [leaves, hash] of expected) {
      const choose = choices(size * 31 + leaves);
      for (const held of [contiguous(size, leaves), scattered(size, leaves, choose), scattered(size, leaves, choose)]) {
        const plan: ExchangePlan = { leaves, held, elements: ELEMENTS };
        const hashes = await Promise.all(members.map((member) => member.call('exchange', plan)));
        assert.deepEqual(hashes, Array(size).fill(hash), `${size} members, ${leaves} leaves, ${JSON.stringify(held)}`);
      }
    }
    await Promise.all(members.map((member) => member.call('close')));
  }
});

test('a state is copied to one member and to several, while the others take no part', { skip }, async (t) => {
  const processes = new MeshProcesses(t);
  const members = Array.from({ length: 4 }, () => processes.start());
  await processes.connect(members);
  const lengths = [1, 700_001, 5, 262_144, 1000];
  const full = (value: number) => {
    const hash = createHash('sha256');
    for (const length of lengths) hash.update(new Uint8Array(new Float32Array(length).fill(value).buffer));
    return hash.digest('hex');
  };
  for (const [from, to] of [
    [0, [3]],
    [2, [0, 3]],
    [1, [3, 2, 0]],
  ] as const) {
    const hashes = await Promise.all([from, ...to].map((rank) => members[rank]!.call('copy', { from, to, lengths, value: from + 0.5 })));
    assert.deepEqual(hashes, Array(to.length + 1).fill(full(from + 0.5)));
  }
});
