import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ResourceExhausted } from '#rpc/errors.js';
import { Gate } from './gate.js';

const never = new AbortController().signal;
const settled = async (promise: Promise<unknown>) => {
  const marker = {};
  return (await Promise.race([promise, new Promise((resolve) => setImmediate(() => resolve(marker)))])) !== marker;
};

test('amounts enter in order while they fit', async () => {
  const gate = new Gate('bytes', 10, 5);
  const leave = await gate.enter(6, never);
  const large = gate.enter(8, never);
  const small = gate.enter(1, never);
  assert.equal(await settled(small), false); // 1 would fit, but 8 came first
  leave();
  (await large)();
  (await small)();
  leave(); // a second time does nothing
  assert.deepEqual([gate.held, gate.waiting], [0, 0]);
});

test('what can never fit and what finds the queue full is refused', async () => {
  const gate = new Gate('bytes', 10, 1);
  await assert.rejects(gate.enter(11, never), ResourceExhausted);
  const leave = await gate.enter(10, never);
  const waiting = gate.enter(1, never);
  await assert.rejects(gate.enter(1, never), ResourceExhausted);
  leave();
  await waiting;
});

test('an aborted wait leaves the queue, and those behind it move up', async () => {
  const gate = new Gate('bytes', 10, 5);
  const leave = await gate.enter(6, never);
  const controller = new AbortController();
  const large = gate.enter(8, controller.signal);
  const small = gate.enter(4, never);
  controller.abort(new Error('gone'));
  await assert.rejects(large, /gone/);
  (await small)();
  leave();
  assert.equal(gate.held, 0);
  await assert.rejects(gate.enter(1, AbortSignal.abort(new Error('gone'))), /gone/);
});

test('the capacity holds and nothing is lost, whatever comes and goes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.integer({ min: 1, max: 10 }), fc.boolean(), fc.nat(3)), { maxLength: 40 }), async (calls) => {
      const gate = new Gate('bytes', 10, 100);
      let entered = 0;
      await Promise.all(
        calls.map(async ([amount, aborts, turns]) => {
          const controller = new AbortController();
          const turn = gate.enter(amount, controller.signal);
          if (aborts) setImmediate(() => controller.abort(new Error('gone')));
          const leave = await turn.catch(() => undefined);
          if (!leave) return;
          entered++;
          assert.ok(gate.held <= 10);
          for (let i = 0; i < turns; i++) await new Promise(setImmediate);
          leave();
        }),
      );
      assert.deepEqual([gate.held, gate.waiting], [0, 0]);
      assert.ok(entered >= calls.filter(([, aborts]) => !aborts).length);
    }),
    { numRuns: 50 },
  );
});
