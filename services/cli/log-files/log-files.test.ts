import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import {
  CreatedRecord,
  EpochRecord,
  EvaluationRecord,
  ResumedRecord,
  type RunEvent,
  StepMetrics,
} from '#protocol/dropstream/v1/trainer.js';
import { crc32c, frame, maskedCrc32c } from './event-records.js';
import { RunLogs } from './run-logs.js';

const NAME = 'projects/default/runs/one';
const STEPS = 4;

/** A run of three epochs whose worker dies in the second: steps 5 and 6 are trained twice, and evaluations come late. */
function runLog({ layerDecay = 1, ema = true } = {}): RunEvent[] {
  const events: NonNullable<RunEvent['event']>[] = [
    {
      $case: 'created',
      value: CreatedRecord.fromPartial({
        dropKind: DropKind.DROP_PATH,
        run: {
          name: NAME,
          stepsPerEpoch: BigInt(STEPS),
          parameters: 5_717_416n,
          spec: { model: 'convnext_small', dropPath: 0.5, layerDecay },
        },
      }),
    },
    { $case: 'resumed', value: ResumedRecord.fromPartial({ attempt: 1 }) },
  ];
  const steps = (from: number, to: number) => {
    const all = Array.from({ length: to - from }, (_, k) => from + k);
    const value = {
      steps: all.map((step) =>
        StepMetrics.fromPartial({ step: BigInt(step), loss: 1 / (step + 1), lr: step / 8, weightDecay: 0.05, gradNorm: 2 }),
      ),
    };
    events.push({ $case: 'steps', value });
  };
  const epoch = (epoch: number) =>
    events.push({
      $case: 'epoch',
      value: EpochRecord.fromPartial({
        epoch,
        trainLoss: 1 / (epoch + 1),
        trainLr: 0.25,
        trainDropRate: 0.5 - epoch / 8,
        trainWeightDecay: 0.05,
        trainGradNorm: 2,
      }),
    });
  const scores = (top1: number) => ({ loss: 1.5, top1, top5: top1 + 10, classCorrect: [], classSamples: [] });
  const evaluation = (epoch: number) =>
    events.push({
      $case: 'evaluation',
      value: EvaluationRecord.fromPartial({
        step: BigInt((epoch + 1) * STEPS),
        result: { step: BigInt((epoch + 1) * STEPS), weights: scores(50 + epoch), ...(ema && { ema: scores(40 + epoch) }) },
      }),
    });
  steps(0, 4);
  epoch(0);
  steps(4, 7);
  evaluation(0);
  events.push({ $case: 'resumed', value: ResumedRecord.fromPartial({ attempt: 2, fromStep: 5n }) });
  steps(5, 8);
  epoch(1);
  evaluation(1);
  steps(8, 12);
  epoch(2);
  evaluation(2);
  return events.map((event, k) => ({ sequence: BigInt(k + 1), time: new Date(1_700_000_000_000 + 1000 * k), event }));
}

async function follow(folder: string, events: readonly RunEvent[], name = NAME): Promise<void> {
  const run = { name, logSequence: events.at(-1)?.sequence ?? 0n };
  const logs = (await RunLogs.open({ outputDir: 'out', logDir: 'tb' }, run, folder))!;
  try {
    for (const event of events) await logs.take(event);
  } finally {
    await logs.close();
  }
}

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-logs-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const textOf = (folder: string) => readFile(join(folder, 'out', 'log.txt'), 'utf8');
async function eventBytes(folder: string): Promise<Buffer> {
  const files = await readdir(join(folder, 'tb'));
  assert.deepEqual(files, ['events.out.tfevents.1700000000.one']);
  return readFile(join(folder, 'tb', files[0]!));
}

/** Any protobuf message as (field, value) pairs: bytes, or a number by its wire type. Shares nothing with the writer. */
function fields(message: Buffer): { field: number; value: number | Buffer }[] {
  const found: { field: number; value: number | Buffer }[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message.readUInt8(at++);
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  };
  while (at < message.length) {
    const key = varint();
    const field = key >> 3;
    switch (key & 7) {
      case 0:
        found.push({ field, value: varint() });
        break;
      case 1:
        found.push({ field, value: message.readDoubleLE(at) });
        at += 8;
        break;
      case 2: {
        const length = varint();
        assert.ok(at + length <= message.length, 'a field ends within its message');
        found.push({ field, value: message.subarray(at, at + length) });
        at += length;
        break;
      }
      case 5:
        found.push({ field, value: message.readFloatLE(at) });
        at += 4;
        break;
      default:
        assert.fail(`wire type ${key & 7}`);
    }
  }
  return found;
}

/** Scalars of an event file as [tag, step, value], every checksum checked bit by bit. */
function parseEvents(bytes: Buffer): { version: string; scalars: [tag: string, step: number, value: number][] } {
  const checksum = (part: Buffer): number => {
    let crc = ~0;
    for (const byte of part) {
      crc ^= byte;
      for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1));
    }
    const plain = BigInt(~crc >>> 0);
    return Number((((plain >> 15n) | (plain << 17n)) + 0xa282ead8n) & 0xffffffffn);
  };
  let version = '';
  const scalars: [string, number, number][] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    assert.equal(bytes.readUInt32LE(at + 8), checksum(bytes.subarray(at, at + 8)));
    const message = bytes.subarray(at + 12, at + 12 + length);
    assert.equal(bytes.readUInt32LE(at + 12 + length), checksum(message));
    at += 16 + length;
    const event = fields(message);
    const one = (field: number) => event.find((e) => e.field === field)?.value;
    assert.ok(Number(one(1)) >= 1_700_000_000);
    if (one(3)) version = String(one(3));
    for (const { field, value } of fields((one(5) as Buffer | undefined) ?? Buffer.alloc(0))) {
      assert.equal(field, 1);
      const scalar = fields(value as Buffer);
      scalars.push([String(scalar.find((s) => s.field === 1)!.value), Number(one(2)), Number(scalar.find((s) => s.field === 2)!.value)]);
    }
  }
  return { version, scalars };
}

test('checksums are those of the standard', () => {
  // RFC 3720, B.4, and the check value of CRC-32C.
  assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283);
  assert.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(maskedCrc32c(Buffer.alloc(32)), ((((0x8a9136aa >>> 15) | (0x8a9136aa << 17)) >>> 0) + 0xa282ead8) % 2 ** 32);
  assert.equal(frame(Buffer.from('abc')).length, 19);
});

test('log.txt has a line an epoch with the keys of the reference', async (t) => {
  const folder = await temporary(t);
  await follow(folder, runLog({ layerDecay: 0.5 }));
  const lines = (await textOf(folder))
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, number>);
  assert.equal(lines.length, 3);
  assert.deepEqual(lines[1], {
    train_lr: 0.25,
    train_min_lr: 0.25 * 0.5 ** 13,
    train_loss: 0.5,
    train_weight_decay: 0.05,
    train_drop_path: 0.375,
    train_grad_norm: 2,
    test_loss: 1.5,
    test_acc1: 51,
    test_acc5: 61,
    epoch: 1,
    n_parameters: 5_717_416,
    test_loss_ema: 1.5,
    test_acc1_ema: 41,
    test_acc5_ema: 51,
  });
});

test('an evaluation that failed leaves its reason in log.txt and nothing in the event file; scores are never NaN', async (t) => {
  const outcome = fc.constantFrom('scores', 'failed', 'nothing', 'failed, then scores', 'scores, then failed');
  await fc.assert(
    fc.asyncProperty(fc.array(outcome, { minLength: 3, maxLength: 3 }), async (outcomes) => {
      const folder = await temporary(t);
      const events = runLog().flatMap((event): RunEvent[] => {
        if (event.event?.$case !== 'evaluation') return [event];
        const failed = { ...event.event.value, result: undefined, failure: 'the data is gone' };
        const kinds = outcomes[Number(event.event.value.step) / STEPS - 1]!.split(', then ');
        return kinds.flatMap((kind): RunEvent[] => {
          if (kind === 'nothing') return [];
          return [kind === 'scores' ? event : { ...event, event: { $case: 'evaluation', value: failed } }];
        });
      });
      await follow(
        folder,
        events.map((event, k) => ({ ...event, sequence: BigInt(k + 1) })),
      );
      const lines = (await textOf(folder)).trimEnd().split('\n');
      const { scalars } = parseEvents(await eventBytes(folder));
      for (const [tag, , value] of scalars) assert.ok(Number.isFinite(value), tag);
      for (const [epoch, line] of lines.entries()) {
        assert.doesNotMatch(line, /NaN|null/);
        const { test_acc1, test_failure } = JSON.parse(line) as Record<string, unknown>;
        const wanted = outcomes[epoch]!;
        const scored = wanted.includes('scores');
        assert.deepEqual(
          [test_acc1, test_failure],
          [scored ? 50 + epoch : undefined, wanted === 'failed' ? 'the data is gone' : undefined],
        );
        assert.equal(scalars.filter(([tag, at]) => tag === 'perf/test_acc1' && at === epoch).length, scored ? 1 : 0);
      }
    }),
    { numRuns: 20 },
  );
});

test('the event file holds every step once, and the scores by epoch', async (t) => {
  const folder = await temporary(t);
  await follow(folder, runLog());
  const { version, scalars } = parseEvents(await eventBytes(folder));
  assert.equal(version, 'brain.Event:2');
  const of = (tag: string) => scalars.filter(([name]) => name === tag).map(([, step, value]) => [step, value]);
  const all = Array.from({ length: 12 }, (_, step) => step);
  assert.deepEqual(
    of('loss/loss'),
    all.map((step) => [step, Math.fround(1 / (step + 1))]),
  );
  assert.deepEqual(
    of('opt/lr'),
    all.map((step) => [step, step / 8]),
  );
  for (const tag of ['opt/min_lr', 'opt/weight_decay', 'opt/grad_norm']) assert.equal(of(tag).length, 12, tag);
  assert.deepEqual(of('perf/test_acc1'), [
    [0, 50],
    [1, 51],
    [2, 52],
  ]);
  assert.deepEqual(of('perf/test_acc1_ema'), [
    [0, 40],
    [1, 41],
    [2, 42],
  ]);
  assert.deepEqual(of('perf/test_loss'), [
    [0, 1.5],
    [1, 1.5],
    [2, 1.5],
  ]);
});

test('following again, from wherever it was left, makes the same files', async (t) => {
  const events = runLog();
  const [whole, pieces] = [await temporary(t), await temporary(t)];
  await follow(whole, events);
  for (let seen = 1; seen <= events.length; seen++) {
    await follow(pieces, events.slice(0, seen));
    parseEvents(await eventBytes(pieces));
  }
  await follow(pieces, events);
  assert.deepEqual(await eventBytes(pieces), await eventBytes(whole));
  assert.equal(await textOf(pieces), await textOf(whole));
});

test('whoever stops while the beginning is read again takes nothing away', async (t) => {
  const events = runLog();
  const folder = await temporary(t);
  await follow(folder, events);
  const [text, bytes] = [await textOf(folder), await eventBytes(folder)];
  const logs = (await RunLogs.open({ outputDir: 'out', logDir: 'tb' }, { name: NAME, logSequence: BigInt(events.length) }, folder))!;
  for (const event of events.slice(0, 4)) await logs.take(event);
  await logs.close();
  assert.equal(await textOf(folder), text);
  assert.deepEqual(await eventBytes(folder), bytes);
});

test("a folder is one run's, and a log.txt of something else is left alone", async (t) => {
  const folder = await temporary(t);
  await follow(folder, runLog());
  await assert.rejects(follow(folder, runLog(), 'projects/default/runs/two'), /belongs to projects\/default\/runs\/one/);
  await rm(join(folder, 'out', 'run.json'));
  await assert.rejects(follow(folder, runLog()), /contains a log\.txt that Dropstream did not write/);
});

test("TensorBoard's own reader reads the event file", async (t) => {
  const python = process.env.DROPSTREAM_PYTHON ?? 'python3';
  const run = promisify(execFile);
  const missing = await run(python, ['-c', 'import tensorboard']).then(
    () => undefined,
    () => `${python} has no tensorboard (pip install tensorboard, or name another one with DROPSTREAM_PYTHON)`,
  );
  if (missing) return t.skip(missing);
  const folder = await temporary(t);
  await follow(folder, runLog());
  const script = [
    'import json, sys',
    'from tensorboard.backend.event_processing.event_accumulator import EventAccumulator',
    'reader = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0}).Reload()',
    'print(json.dumps({tag: [[e.step, e.value] for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}))',
  ].join('\n');
  const { stdout } = await run(python, ['-c', script, join(folder, 'tb')], { timeout: 120_000 });
  const read = JSON.parse(stdout) as Record<string, [number, number][]>;
  const ours = parseEvents(await eventBytes(folder)).scalars;
  assert.deepEqual(Object.keys(read).sort(), [...new Set(ours.map(([tag]) => tag))].sort());
  for (const [tag, values] of Object.entries(read)) {
    const wanted = ours.filter(([name]) => name === tag).map(([, step, value]) => [step, value]);
    assert.deepEqual(values, wanted, tag);
  }
});
