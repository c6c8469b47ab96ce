import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { choices, contiguous, ownSums, scattered, wholeSum } from '../../test/support/exchange-cases.js';
import { closeAll, connectAll, memoryStore, optionsOf } from '../../test/support/mesh-in-process.js';
import { whyNoGloo } from '../../test/support/mesh-processes.js';
import { until } from '../../test/support/until.js';
import { connectMesh, type ExchangePlan, exchange, type Mesh, MeshAborted, MeshFailed } from './index.js';

const skip = whyNoGloo() ?? false;
const limits = { skip, timeout: 60_000 };
const onlyLinux = process.platform === 'linux' ? limits : { skip: 'threads and files of a process are counted in /proc' };

/** Threads of ours and of Gloo, which are made by ours and have their name. */
function meshThreads(): number {
  const names = readdirSync('/proc/self/task').map((task) => {
    try {
      return readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
    } catch {
      return 'ended';
    }
  });
  return names.filter((name) => name === 'dropstream-mesh').length;
}
const noThreads = () => until('threads to end', () => meshThreads() === 0);
const openFiles = () => readdirSync('/proc/self/fd').length;

test('values arrive as they were sent, by tag and number', limits, async () => {
  const [a, b] = (await connectAll(2)) as [Mesh, Mesh];
  const into = Array.from({ length: 3 }, () => new Float32Array(3));
  const two = new Float32Array(2);
  await Promise.all([
    b.receive(0, 7, into[0]!),
    b.receive(0, 8, into[1]!),
    a.send(1, 8, Float32Array.of(4, 5, 6)),
    a.send(1, 7, Float32Array.of(1, 2, 3)),
    a.receive(1, 7, into[2]!),
    b.send(0, 7, Float32Array.of(7, 8, Number.NaN)),
    a.send(1, 7, Float32Array.of(-0, 1e-45)),
    b.receive(0, 7, two),
  ]);
  assert.deepEqual(
    [...into, two].map((values) => [...values]),
    [
      [1, 2, 3],
      [4, 5, 6],
      [7, 8, Number.NaN],
      [-0, Math.fround(1e-45)],
    ],
  );
  await closeAll([a, b]);
});

test('the exchange over Gloo gives the bits of the engine for any distribution', limits, async () => {
  const meshes = new Map<number, Mesh[]>();
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 }),
      fc.constantFrom(8, 13, 16),
      fc.integer({ min: 1, max: 60_000 }),
      fc.noBias(fc.integer()),
      async (size, leaves, elements, seed) => {
        const members = meshes.get(size) ?? (await connectAll(size));
        meshes.set(size, members);
        const choose = choices(seed);
        const held = choose(2) === 0 ? contiguous(size, leaves) : scattered(size, leaves, choose);
        const plan: ExchangePlan = { leaves, held, elements };
        const sums = members.map(() => new Float32Array(elements));
        await Promise.all(members.map((mesh, rank) => exchange(mesh, plan, ownSums(plan, rank), sums[rank]!)));
        const expected = Buffer.from(wholeSum(leaves, elements).buffer);
        for (const sum of sums) assert.ok(Buffer.from(sum.buffer).equals(expected));
      },
    ),
    { numRuns: 40 },
  );
  for (const members of meshes.values()) await closeAll(members);
});

test('numbers below the smallest normal one are flushed as by the native engine, or kept', limits, async () => {
  const members = await connectAll(2);
  const tiny = 2 ** -140;
  const bits = async (subnormals: 'flush' | 'keep') => {
    const held = [[{ first: 0, leaves: 1 }], [{ first: 1, leaves: 1 }]];
    const sums = members.map(() => new Float32Array(2));
    await Promise.all(
      members.map((mesh, rank) =>
        exchange(mesh, { leaves: 2, held, elements: 2, subnormals }, new Map([[`${rank}-1`, Float32Array.of(tiny, 1)]]), sums[rank]!),
      ),
    );
    assert.deepEqual(sums[0], sums[1]);
    return [...sums[0]!];
  };
  assert.deepEqual(await bits('flush'), [0, 2]);
  assert.deepEqual(await bits('keep'), [2 * tiny, 2]);
  await closeAll(members);
});

test('nothing of a mesh is left after it was closed, aborted, or not connected: no thread and no file', onlyLinux, async () => {
  await closeAll(await connectAll(3)); // what is opened once
  await noThreads();
  const before = openFiles();
  for (let round = 0; round < 3; round++) {
    const members = await connectAll(3);
    assert.ok(meshThreads() >= 3);
    const stuck = Promise.allSettled(members.map((mesh) => mesh.receive((mesh.rank + 1) % 3, 1, new Float32Array(10))));
    if (round === 0) members[0]!.abort('enough');
    if (round === 1) await members[0]!.close();
    if (round === 2) await closeAll(members);
    const results = await stuck;
    assert.ok(results.every(({ status }) => status === 'rejected'));
    await closeAll(members);
    await assert.rejects(connectMesh(optionsOf(0, 2, { connectTimeoutMs: 50 })), MeshFailed);
  }
  await noThreads();
  assert.equal(openFiles(), before);
});

test('a mesh that nobody closed and nobody refers to any more goes with the garbage', onlyLinux, async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  await connectAll(2);
  assert.ok(meshThreads() >= 2);
  await until('threads to end', () => {
    collect();
    return meshThreads() === 0;
  });
});

test('abort ends what runs and what comes later, with its reason; the first reason counts', limits, async () => {
  const members = await connectAll(2);
  const [a, b] = members as [Mesh, Mesh];
  const running = a.receive(1, 1, new Float32Array(5));
  a.abort('the member of rank 1 has left');
  a.abort('another reason');
  const aborted = (error: unknown) => error instanceof MeshAborted && error.reason === 'the member of rank 1 has left';
  await assert.rejects(running, aborted);
  await assert.rejects(a.send(1, 1, new Float32Array(5)), aborted);
  await assert.rejects(b.receive(0, 1, new Float32Array(5)), (error) => error instanceof MeshFailed && error.peer === 0);
  await closeAll(members);
  await assert.rejects(b.send(0, 1, new Float32Array(5)), MeshFailed);
});

test('the signal aborts a mesh while it connects, and later', limits, async () => {
  const early = new AbortController();
  const connecting = connectMesh(optionsOf(0, 2, { signal: early.signal }));
  early.abort(new Error('the worker drains'));
  await assert.rejects(connecting, (error) => error instanceof MeshAborted && error.reason === 'the worker drains');
  await assert.rejects(connectMesh(optionsOf(0, 1, { signal: early.signal })), MeshAborted);
  const later = new AbortController();
  const members = await connectAll(2, { signal: later.signal });
  const running = members[0]!.receive(1, 1, new Float32Array(5));
  later.abort(new Error('the worker drains'));
  await assert.rejects(running, (error) => error instanceof MeshAborted && error.reason === 'the worker drains');
  await closeAll(members);
});

test('members who disagree about a size or a plan end at the time-out, and nothing else happens to them', limits, async () => {
  const members = await connectAll(2, { transferTimeoutMs: 300 });
  const [a, b] = members as [Mesh, Mesh];
  const results = await Promise.allSettled([a.send(1, 1, new Float32Array(100_000)), b.receive(0, 1, new Float32Array(10))]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  await closeAll(members);
});

test(
  'whoever reaches a port without having read the store, and sends anything, ends the connecting but not the process',
  limits,
  async () => {
    const messages = [
      // To a transfer that does not exist, upon which Gloo throws on a thread of its own, and to one of another kind.
      [48, 1, 12345, 0, 2 ** 40, 0],
      [48, 0, 0, 0, 2 ** 40, 2 ** 40],
    ];
    for (const numbers of messages) {
      const store = memoryStore();
      const connecting = connectMesh(optionsOf(0, 2, { store, connectTimeoutMs: 1500 }));
      const own = Buffer.from(await until('the entry', () => store.entries.get('member-0')));
      // After the secret: no address for itself, and one for the other member, which begins with a sockaddr_in.
      const address = own.subarray(36);
      const socket = createConnection(address.readUInt16BE(2), '127.0.0.1');
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('connect', resolve));
      const message = Buffer.alloc(48);
      for (const [index, value] of numbers.entries()) message.writeBigUInt64LE(BigInt(value), 8 * index);
      socket.write(message);
      // The member with the higher port connects to the other one, and so this one only listens.
      const other = Buffer.from(address);
      other.writeUInt16BE(65_535, 2);
      await store.set('member-1', Buffer.concat([own.subarray(0, 32), own.subarray(34, 36), other, Buffer.alloc(2)]));
      await assert.rejects(connecting, (error) => error instanceof MeshFailed && error.peer === 1);
      socket.destroy();
    }
  },
);

test('an entry of the store that is not an address is refused', limits, async () => {
  for (const entry of [Buffer.alloc(0), Buffer.alloc(33), Buffer.alloc(36), Buffer.alloc(500, 255)]) {
    const store = memoryStore();
    await store.set('member-1', entry);
    await assert.rejects(connectMesh(optionsOf(0, 2, { store })), (error) => error instanceof MeshFailed && error.peer === 1);
  }
});

test('wrong arguments are refused before anything is sent', limits, async () => {
  const members = await connectAll(2);
  const [a] = members as [Mesh];
  const values = new Float32Array(4);
  for (const peer of [0, 2, -1, 0.5]) await assert.rejects(a.send(peer, 1, values), RangeError);
  for (const tag of [-1, 0.5, 2 ** 30]) await assert.rejects(a.send(1, tag, values), RangeError);
  const plan = { leaves: 2, held: contiguous(2, 2), elements: 4 };
  await assert.rejects(exchange(a, plan, new Map(), values), /says that member 0 holds 0-1/);
  await assert.rejects(exchange(a, plan, new Map([['0-1', new Float32Array(3)]]), values), /has 3 floats, must have 4/);
  await assert.rejects(exchange(a, plan, new Map([['0-1', values]]), values), /shares memory/);
  await assert.rejects(exchange(a, { ...plan, held: contiguous(1, 2) }, new Map(), values), /has 1 members, the mesh 2/);
  await closeAll(members);
});
