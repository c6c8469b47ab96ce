import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { NeverFits } from '#errors/errors.js';
import { Admission, type AdmissionOptions, type Admitted, BoundReached } from './admission.js';
import { UNREAD_MS } from './shares.js';

const never = new AbortController().signal;
const settled = async (promise: Promise<unknown>) => {
  const marker = {};
  return (await Promise.race([promise, new Promise((resolve) => setImmediate(() => resolve(marker)))])) !== marker;
};
const needs = (bytes: number) => ({ bytes, cost: bytes });
const by = (name: string, key = name) => ({ caller: name, key });
const admissionOf = (options: Partial<AdmissionOptions> = {}) =>
  new Admission({ maxBytes: 100, maxClientBytes: 100, turns: 100, maxWaiting: 100, maxClientWaiting: 100, ...options });

test("a client's calls enter in their order, as bytes get free", async () => {
  const admission = admissionOf({ maxBytes: 10 });
  const first = await admission.enter(by('a'), needs(6), never);
  const large = admission.enter(by('a'), needs(8), never);
  const small = admission.enter(by('a'), needs(1), never);
  assert.equal(await settled(small), false); // 1 would fit, but 8 came first
  first.left();
  first.left(); // does nothing
  (await large).left();
  (await small).left();
  assert.deepEqual([admission.held, admission.waiting, admission.clients], [0, 0, 0]);
});

test('a turn is free when the batch is made, its bytes when it has left', async () => {
  const admission = admissionOf({ turns: 1 });
  const first = await admission.enter(by('a'), needs(60), never);
  const second = admission.enter(by('b'), needs(30), never);
  assert.equal(await settled(second), false);
  first.made();
  await second;
  assert.equal(admission.held, 90);
  (await second).left(); // never made: the turn comes back too
  first.left();
  await admission.enter(by('a'), needs(100), never);
});

test('whoever was given least goes first: one call at a time gets as much as thirty in flight', async () => {
  const admission = admissionOf({ turns: 1 });
  const given: Record<string, number> = { modest: 0, greedy: 0 };
  const running: Admitted = await admission.enter(by('other'), needs(1), never);
  const order: [string, Admitted][] = [];
  const ask = (client: string) =>
    void admission.enter(by(client), needs(1), never).then((admitted) => {
      given[client]!++;
      order.push([client, admitted]);
    });
  for (let i = 0; i < 30; i++) ask('greedy');
  ask('modest');
  running.left();
  for (let i = 0; i < 40; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    const [client, admitted] = order.shift()!;
    // The modest one asks again only when it has got its batch.
    if (client === 'modest') ask('modest');
    else ask('greedy');
    await new Promise((resolve) => setImmediate(resolve));
    admitted.left();
  }
  assert.ok(Math.abs(given.modest! - given.greedy!) <= 2, JSON.stringify(given));
});

test('who stayed away has saved nothing up', async () => {
  const admission = admissionOf({ turns: 1 });
  for (let i = 0; i < 50; i++) (await admission.enter(by('busy'), needs(1), never)).left();
  const running = await admission.enter(by('busy'), needs(1), never);
  const order: string[] = [];
  const ask = async (client: string): Promise<void> => {
    const admitted = await admission.enter(by(client), needs(1), never);
    order.push(client);
    admitted.left();
  };
  const all = Array.from({ length: 6 }, () => [ask('busy'), ask('late')]).flat();
  running.left();
  await Promise.all(all);
  assert.deepEqual(order.slice(0, 6).filter((client) => client === 'late').length, 3, order.join(' '));
});

test("a client within its own bytes is not held back by one at its bound; a batch over a client's bound enters alone", async () => {
  const admission = admissionOf({ maxClientBytes: 20 });
  const slow = await admission.enter(by('slow'), needs(20), never);
  const next = admission.enter(by('slow'), needs(1), never);
  assert.equal(await settled(next), false);
  (await admission.enter(by('fast'), needs(20), never)).left();
  slow.left();
  (await next).left();
  (await admission.enter(by('slow'), needs(50), never)).left();
});

test('a large batch that waits for bytes in all is not passed by small ones', async () => {
  const admission = admissionOf();
  const held = await admission.enter(by('a'), needs(50), never);
  const large = admission.enter(by('b'), needs(60), never);
  const small = admission.enter(by('c'), needs(1), never);
  assert.equal(await settled(small), false);
  held.left();
  await large;
  await small;
});

test('what can never fit and what finds a queue full is refused', async () => {
  const admission = admissionOf({ maxWaiting: 2, maxClientWaiting: 1 });
  await assert.rejects(admission.enter(by('a'), needs(101), never), NeverFits);
  const held = await admission.enter(by('a'), needs(100), never);
  const first = admission.enter(by('a'), needs(1), never);
  await assert.rejects(admission.enter(by('a'), needs(1), never), /one client/);
  const second = admission.enter(by('b'), needs(1), never);
  await assert.rejects(
    admission.enter(by('c'), needs(1), never),
    (e) => e instanceof BoundReached && e.bound === 'waiting' && e.retryAfterMs !== undefined,
  );
  held.left();
  (await first).left();
  (await second).left();
  assert.equal(admission.waiting, 0);
});

test('an aborted wait leaves the queue, and those behind it move up', async () => {
  const admission = admissionOf({ maxBytes: 10 });
  await admission.enter(by('a'), needs(6), never);
  const controller = new AbortController();
  const large = admission.enter(by('b'), needs(8), controller.signal);
  const small = admission.enter(by('b'), needs(2), never);
  controller.abort(new Error('gone'));
  await assert.rejects(large, /gone/);
  await small;
});

test('work that nobody waits for enters only beside free turns and half of the bytes; it is given up when bytes are short', async () => {
  let ahead: Admitted | undefined;
  const admission = admissionOf({ turns: 2 });
  const giveUp = () => {
    const had = ahead !== undefined;
    ahead?.left();
    ahead = undefined;
    return had;
  };
  assert.equal(admission.tryEnter(by('a'), needs(51), giveUp), undefined);
  ahead = admission.tryEnter(by('a'), needs(50), giveUp);
  assert.ok(ahead);
  const real = await admission.enter(by('b'), needs(90), never);
  assert.equal(ahead, undefined);
  assert.equal(admission.tryEnter(by('a'), needs(1), giveUp), undefined);
  real.left();
  assert.equal(admission.held, 0);
});

/** A stream whose reader is played by the test. */
class Stream {
  taken = 1;
  idleMs = 0;
  error: Error | undefined;
  async flushed(): Promise<void> {}
  stop(error: Error): void {
    this.error = error;
  }
}

/** Shares of one caller that take all of one batch each, so that they are known to read. */
async function readOnce(admission: Admission, ...keys: string[]): Promise<void> {
  for (const key of keys) {
    const admitted = await admission.enter(by('host', key), needs(1), never);
    admitted.sending(new Stream());
    admitted.taken();
    admitted.left();
  }
}

/** Asks for a batch on each of `count` shares whose streams nobody reads. */
function askWithoutReading(admission: Admission, count: number, caller = 'host'): Stream[] {
  const streams: Stream[] = [];
  for (let i = 0; i < count; i++) {
    const enter = admission.enter(by(caller, `unread ${i}`), needs(10), never);
    void enter.then((admitted) => {
      const stream = new Stream();
      stream.idleMs = 10 * UNREAD_MS - i;
      admitted.made();
      admitted.sending(stream);
      streams.push(stream);
    });
  }
  return streams;
}

test('work that nobody waits for gives way to calls of its own client and of its own caller, though bytes are left for others', async () => {
  for (const [key, options] of [
    ['a', { maxClientBytes: 80 }],
    ['other client', { maxClientBytes: 100 }],
    ['a', { maxClientBytes: 50 }],
  ] as const) {
    const admission = admissionOf(options);
    let given = 0;
    const ahead = admission.tryEnter(by('caller', 'a'), needs(10), () => {
      given++;
      ahead?.made();
      ahead?.left();
      return true;
    });
    assert.ok(ahead);
    // 70 beside 10 is more than the three quarters that one caller may hold, or than the client may.
    const call = admission.enter(by('caller', key), needs(70), never);
    assert.ok(await settled(call), `${key} ${options.maxClientBytes}`);
    assert.deepEqual([given, admission.held, admission.waiting], [1, 70, 0]);
    (await call).left();
  }
  const admission = admissionOf({ maxClientBytes: 80 });
  const held = await admission.enter(by('caller', 'a'), needs(60), never);
  const waits = admission.enter(by('caller', 'b'), needs(40), never);
  assert.equal(await settled(waits), false, 'what is held for a stream stays');
  held.left();
  (await waits).left();
});

test('streams that nobody reads leave half of what their caller may hold to the shares that read', async () => {
  const admission = admissionOf({ turns: 4 });
  await readOnce(admission, 'honest');
  const unread = askWithoutReading(admission, 30);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(unread.length, 3);
  admission.look();
  for (let i = 0; i < 50; i++) {
    const two = [
      await admission.enter(by('host', 'honest'), needs(20), never),
      await admission.enter(by('host', 'honest'), needs(20), never),
    ];
    assert.equal(admission.held, 70);
    for (const admitted of two) {
      admitted.taken();
      admitted.left();
    }
  }
});

test('whatever the shares of one caller hold, another caller enters', async () => {
  const admission = admissionOf();
  await readOnce(admission, ...Array.from({ length: 30 }, (_, i) => `reader ${i}`));
  for (let i = 0; i < 30; i++) void admission.enter(by('host', `reader ${i}`), needs(10), never);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(admission.held, 70);
  await admission.enter(by('other'), needs(30), never);
});

test('a newcomer beside unread streams gets the place of the one that was not read for longest; slow readers keep theirs', async () => {
  let now = 0;
  const admission = admissionOf({ turns: 4, clock: () => now });
  const unread = askWithoutReading(admission, 30);
  await new Promise((resolve) => setImmediate(resolve));
  const newcomer = admission.enter(by('host', 'newcomer'), needs(10), never);
  // The first one is a slow reader: it took bytes after a pause.
  admission.look();
  assert.deepEqual([unread.length, await settled(newcomer)], [3, true]);
  const [slow, ended, other] = unread as [Stream, Stream, Stream];
  assert.deepEqual([slow, ended, other].filter(({ error }) => error).length, 1);
  now += UNREAD_MS;
  slow.taken++;
  admission.look();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal([slow, ended, other].filter(({ error }) => error).length, 2);
  assert.ok(
    [slow, ended, other].every(({ error }) => error === undefined || (error instanceof BoundReached && error.retryAfterMs !== undefined)),
  );
});

test('who has just come does not wait for work that those who came long before it used up', async () => {
  let now = 0;
  const admission = admissionOf({ turns: 4, clock: () => now });
  const read = async (times: number) => {
    for (let i = 0; i < times; i++) await readOnce(admission, 'honest');
  };
  await read(1);
  askWithoutReading(admission, 30);
  await new Promise((resolve) => setImmediate(resolve));
  admission.look();
  now += UNREAD_MS;
  // The work of 40 of their batches: one of those that have waited long enters for it.
  await read(400);
  const entering = async (key: string) => {
    const enters = admission.enter(by('host', key), needs(10), never);
    return { enters: async () => await settled(enters) };
  };
  const first = await entering('first');
  assert.equal(await first.enters(), true);
  now += UNREAD_MS / 3;
  const second = await entering('second');
  await read(99);
  assert.equal(await second.enters(), false, 'too little was read since the first one came');
  await read(1);
  admission.look();
  assert.equal(await second.enters(), true);
});

test('a full queue drops the newest call of the longest queue, so that it does not shut others out', async () => {
  const admission = admissionOf({ maxWaiting: 20 });
  const held = await admission.enter(by('other'), needs(100), never);
  const refused: number[] = [];
  const many = Array.from({ length: 20 }, (_, i) =>
    admission.enter(by('host'), needs(1), never).then(
      (admitted) => admitted.left(),
      (error) => {
        assert.ok(error instanceof BoundReached);
        refused.push(i);
      },
    ),
  );
  const honest = admission.enter(by('host', 'honest'), needs(1), never);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(refused, [19]);
  held.left();
  (await honest).left();
  await Promise.all(many);
});

test('whatever clients do, bounds hold and all is given back', async () => {
  const call = fc.record({ client: fc.constantFrom('a', 'b', 'c'), bytes: fc.integer({ min: 1, max: 40 }), abort: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(call, { minLength: 1, maxLength: 40 }), fc.infiniteStream(fc.nat(3)), async (calls, choices) => {
      const admission = admissionOf({ maxClientBytes: 50, turns: 3 });
      const inside: Admitted[] = [];
      let [turns, done] = [0, 0];
      for (const { client, bytes, abort } of calls) {
        const controller = new AbortController();
        admission.enter(by(client), needs(bytes), controller.signal).then(
          (admitted) => {
            turns++;
            assert.ok(turns <= 3);
            inside.push(admitted);
          },
          () => done++,
        );
        await Promise.resolve();
        if (abort) controller.abort(new Error('gone'));
      }
      for (let i = 0; done < calls.length && i < 1000; i++) {
        await new Promise((resolve) => setImmediate(resolve));
        assert.ok(admission.held <= 100);
        const leaving = inside.splice((choices.next().value as number) % Math.max(1, inside.length), 1)[0];
        if (!leaving) continue;
        turns--;
        done++;
        leaving.left();
      }
      assert.deepEqual([done, admission.held, admission.waiting, admission.clients], [calls.length, 0, 0, 0]);
    }),
    { numRuns: 100 },
  );
});
