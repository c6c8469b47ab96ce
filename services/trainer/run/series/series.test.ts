// Curves from logs in a directory store, beside what the steps themselves say.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { LogDamaged } from '#storage/log-record.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { type RunKey, recordLog, recordOf, seriesPrefix } from '../run-log.js';
import { extremesOf, stretch } from './extremes.js';
import { readSeries } from './read-series.js';
import { decodeChapter, decodeColumns, encodeChapter, encodeColumns, SeriesUnreadable } from './series-objects.js';
import { SeriesStore } from './series-store.js';
import { ColumnsBuilder, metricCount } from './step-columns.js';

const shape = { blockRecords: 4, chapterBlocks: 3 };
const signal = AbortSignal.timeout(300_000);
let folder: string;
let store: ObjectStore;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropstream-series-'));
  store = await openStore(folder);
});
after(async () => {
  await store.close();
  await rm(folder, { recursive: true });
});

/** Another value at every attempt, and an accuracy at every third step. */
const stepOf = (step: number, attempt: number): StepMetrics => ({
  ...StepMetrics.fromPartial({
    step: BigInt(step),
    loss: Math.fround(Math.sin(step * 12.9) + attempt),
    lr: step / 7,
    gradNorm: (step * 7919) % 101,
  }),
  ...(step % 3 === 0 ? { classAcc: step / 1e6 } : {}),
});

let runs = 0;
/** @param attempts the first step of each, how many steps it trains, and how many of them are in a record */
async function logOf(attempts: readonly { from: number; steps: number; perRecord: number }[]) {
  const key: RunKey = { project: 'p', id: `run-${++runs}`, uid: String(runs).padStart(32, '0') };
  const log = recordLog(store, key);
  const truth = new Map<number, StepMetrics>();
  await log.append('created', {});
  for (const [attempt, { from, steps, perRecord }] of attempts.entries()) {
    await log.append('claimed', {});
    for (const known of truth.keys()) if (known >= from) truth.delete(known);
    for (let at = 0; at < steps; at += perRecord) {
      const some = Array.from({ length: Math.min(perRecord, steps - at) }, (_, k) => stepOf(from + at + k, attempt));
      for (const step of some) truth.set(Number(step.step), step);
      const { kind, payload } = recordOf({ body: { $case: 'steps', value: { steps: some } } });
      await log.append(kind, payload);
    }
  }
  return { key, truth: [...truth.values()], sequence: log.head };
}

const columns = { loss: 0, lr: 1, classAcc: 5 } as const;
const all = [...Array(metricCount).keys()];

test('with enough points, curves are the steps, and the newest attempt counts', async () => {
  const { key, truth, sequence } = await logOf([
    { from: 0, steps: 50, perRecord: 5 },
    { from: 30, steps: 40, perRecord: 7 },
    { from: 65, steps: 30, perRecord: 1 },
  ]);
  const series = new SeriesStore(store, shape);
  const whole = await readSeries(series, key, { metrics: all, fromStep: 0, toStep: undefined, points: 1000, sequence }, signal);
  assert.deepEqual([whole.from, whole.to], [0, 95]);
  assert.deepEqual(whole.curves[columns.loss], { steps: truth.map(({ step }) => Number(step)), values: truth.map(({ loss }) => loss) });
  const withAccuracy = truth.filter(({ classAcc }) => classAcc !== undefined);
  assert.deepEqual(
    whole.curves[columns.classAcc]!.values,
    withAccuracy.map(({ classAcc }) => classAcc),
  );
  const part = await readSeries(series, key, { metrics: [columns.lr], fromStep: 20, toStep: 40, points: 20, sequence }, signal);
  assert.deepEqual(part.curves, [
    { steps: truth.slice(20, 40).map(({ step }) => Number(step)), values: truth.slice(20, 40).map(({ lr }) => lr) },
  ]);
  const beyond = await readSeries(series, key, { metrics: [0], fromStep: 500, toStep: undefined, points: 20, sequence }, signal);
  assert.deepEqual(beyond.curves, [{ steps: [], values: [] }]);
});

const attempt = (from: number, steps: number, perRecord: number) => ({ from, steps, perRecord });
const history = fc
  .tuple(
    fc.integer({ min: 1, max: 12 }),
    fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 60 })), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([first, parts]) => {
    let end = 0;
    return parts.map(([back, steps, perRecord], k) => {
      const from = k === 0 ? 0 : Math.floor(back * end);
      end = from + steps;
      return attempt(from, steps, Math.max(perRecord, first, Math.ceil(steps / 40)));
    });
  });

test('every point is a step of the run, there are not too many, and no extreme is lost', async () => {
  await fc.assert(
    fc.asyncProperty(
      history,
      fc.integer({ min: 4, max: 60 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (attempts, points, share) => {
        const { key, truth, sequence } = await logOf(attempts);
        const newest = Number(truth.at(-1)!.step);
        const fromStep = Math.floor(share * newest);
        // Made by one, and read by another.
        for (const series of [new SeriesStore(store, shape), new SeriesStore(store, shape)]) {
          const { curves, to } = await readSeries(
            series,
            key,
            { metrics: [columns.loss], fromStep, toStep: undefined, points, sequence },
            signal,
          );
          const [{ steps, values }] = curves as [{ steps: number[]; values: number[] }];
          assert.equal(to, newest + 1);
          assert.ok(steps.length <= points, `${steps.length} points`);
          const lossAt = new Map(truth.map(({ step, loss }) => [Number(step), loss]));
          for (const [k, step] of steps.entries()) {
            assert.ok(k === 0 || step > steps[k - 1]!);
            assert.equal(values[k], lossAt.get(step), `step ${step}`);
          }
          const shown = truth.filter(({ step }) => Number(step) >= fromStep).map(({ loss }) => loss);
          // A stretch in which a run was resumed may have lost an extreme of the steps before that.
          const resumed = new Set(attempts.map(({ from }) => Math.floor(from / stretch)));
          const sure = truth
            .filter(({ step }) => Number(step) >= fromStep && !resumed.has(Math.floor(Number(step) / stretch)))
            .map(({ loss }) => loss);
          assert.ok(Math.max(...values) >= Math.max(...sure, Number.NEGATIVE_INFINITY), `${Math.max(...shown)}`);
          assert.ok(Math.min(...values) <= Math.min(...sure, Number.POSITIVE_INFINITY));
        }
      },
    ),
    { numRuns: 25 },
  );
});

test('what is stored is read again; what was damaged is made anew', async () => {
  const { key, sequence } = await logOf([attempt(0, 300, 10)]);
  const query = { metrics: all, fromStep: 0, toStep: undefined, points: 50, sequence };
  const first = await readSeries(new SeriesStore(store, shape), key, query, signal);
  const keys: string[] = [];
  for await (const object of listAll(store, `${seriesPrefix(key)}/`, { signal })) keys.push(object.key);
  assert.deepEqual(
    [keys.filter((one) => one.includes('/blocks/')).length, keys.filter((one) => one.includes('/chapters/')).length],
    [Math.floor(sequence / 4), Math.floor(sequence / 12)],
  );
  for (const one of keys) await store.put(one, Buffer.from('nonsense'));
  assert.deepEqual(await readSeries(new SeriesStore(store, shape), key, query, signal), first);
});

test('of a log that ends before it should, nothing is stored', async () => {
  const gone: RunKey = { project: 'p', id: 'gone', uid: 'f'.repeat(32) };
  const { key, sequence } = await logOf([attempt(0, 90, 10)]);
  for (const [log, seen] of [
    [gone, 5],
    [key, sequence + 4],
  ] as const) {
    const query = { metrics: all, fromStep: 0, toStep: undefined, points: 50, sequence: seen };
    await assert.rejects(readSeries(new SeriesStore(store, shape), log, query, signal), LogDamaged);
  }
  for await (const object of listAll(store, `${seriesPrefix(gone)}/`, { signal })) assert.fail(object.key);
});

test('objects are what they were, or not read', () => {
  const builder = new ColumnsBuilder();
  for (let step = 0; step < 200; step++) builder.add(stepOf(step, 0));
  const built = builder.build();
  assert.deepEqual(decodeColumns(encodeColumns(built)), built);
  const chapter = { firstSteps: Float64Array.of(0, Number.NaN), lastSteps: Float64Array.of(199, Number.NaN), extremes: extremesOf(built) };
  const bytes = encodeChapter(chapter);
  assert.deepEqual(decodeChapter(bytes, 2), chapter);
  assert.throws(() => decodeChapter(bytes, 3), SeriesUnreadable);
  assert.throws(() => decodeColumns(bytes), SeriesUnreadable);
  for (const at of [0, 9, 14, 40, bytes.length - 1]) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    assert.throws(() => decodeChapter(changed, 2), SeriesUnreadable);
  }
  assert.throws(() => decodeColumns(Buffer.alloc(0)), SeriesUnreadable);
});
