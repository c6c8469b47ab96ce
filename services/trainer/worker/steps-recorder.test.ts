import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { StepsRecorder } from './steps-recorder.js';

const step = (n: number): StepMetrics => StepMetrics.fromPartial({ step: BigInt(n), batchSha256: [Buffer.alloc(32)] });
const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

test('steps are written in order, in few records, none left out', async () => {
  const records: number[][] = [];
  const recorder = new StepsRecorder({ append: async (steps) => void records.push(steps.map((s) => Number(s.step))), everyMs: 20 });
  for (let n = 0; n < 100; n++) {
    await recorder.add(step(n));
    if (n % 25 === 0) await pause(30);
  }
  await recorder.flush();
  assert.deepEqual(
    records.flat(),
    Array.from({ length: 100 }, (_, n) => n),
  );
  assert.ok(records.length <= 12, `${records.length} records`);
});

test('a step that nothing follows is written all the same', async () => {
  const records: number[] = [];
  const recorder = new StepsRecorder({ append: async (steps) => void records.push(steps.length), everyMs: 10 });
  await recorder.add(step(0));
  await recorder.add(step(1));
  for (let tries = 0; records.reduce((a, b) => a + b, 0) < 2 && tries < 200; tries++) await pause(10);
  assert.equal(
    records.reduce((a, b) => a + b, 0),
    2,
  );
});

test('a slow store holds steps back, and records stay bounded', async () => {
  const sizes: number[] = [];
  const recorder = new StepsRecorder({
    append: async (steps) => {
      await pause(5);
      sizes.push(steps.length);
    },
    everyMs: 0,
  });
  for (let n = 0; n < 9000; n++) await recorder.add(step(n));
  await recorder.flush();
  assert.equal(
    sizes.reduce((a, b) => a + b),
    9000,
  );
  assert.ok(Math.max(...sizes) <= 1000);
});

test('what an append throws comes to whoever adds or flushes next', async () => {
  const recorder = new StepsRecorder({
    append: async () => {
      throw new Error('claim lost');
    },
    everyMs: 0,
  });
  await recorder.add(step(0));
  await assert.rejects(recorder.flush(), /claim lost/);
  await assert.rejects(recorder.add(step(1)), /claim lost/);
  recorder.close();
});
