/** Several worker processes compute one run, with the bits of one worker, whoever joins, is killed, frozen or stopped meanwhile. */
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { collectivesAvailable } from '#collectives/index.js';
import { Precision } from '#protocol/dropstream/v1/engine_types.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type GroupRecord, type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { type ServiceProcess, sourceFlags, startService } from '../support/processes.js';
import { batchesOf, followAgain as follow, lossesOf, type Trainer, TrainingServices } from '../support/training-services.js';

const found = collectivesAvailable();
const skip = found.available ? false : `no Gloo: ${found.reason}`;
const parent = 'projects/p';
const soon = { timeoutMs: 30_000 };

let services: TrainingServices;
let data: string;
let trainer: Trainer;

before(async () => {
  // Eight leaves of one micro-batch each; six steps make an epoch.
  services = await TrainingServices.open({ train: 6 * 8 * 4, test: 40 });
  data = await services.data();
  trainer = (await services.trainer(['--role', 'api'])).client;
});
after(() => services.close());

/** Everything that changes bits: mixup, stochastic depth, EMA, clipping, leaves. */
const specOf = (part: Partial<RunSpec> = {}): RunSpec =>
  services.spec({
    epochs: 40,
    batchSize: 4,
    updateFreq: 8,
    modelEma: true,
    modelEmaDecay: 0.9,
    dropPath: 0.2,
    clipGrad: 1,
    saveCkptFreq: 10,
    seed: 7n,
    ...part,
  });

interface History {
  readonly losses: readonly number[];
  readonly batches: readonly string[];
  /** SHA-256 of the files of the last checkpoint, by role. */
  readonly files: readonly string[];
  readonly groups: readonly GroupRecord[];
  readonly events: readonly RunEvent[];
}

/** A worker in a process of its own. */
function worker(t: Pick<TestContext, 'after'>, name: string, env: Record<string, string> = {}): Promise<ServiceProcess> {
  const quick = ['--poll-ms', '50', '--lease-ttl-ms', '2000', '--backoff-ms', '50', '--member-silence-ms', '2000'];
  return startService(t, 'trainer', ['--role', 'worker', '--store', services.storeUri, '--data', data, '--instance', name, ...quick], env);
}

const groupsOf = (events: readonly RunEvent[]): GroupRecord[] =>
  events.flatMap(({ event }) => (event?.$case === 'group' ? [event.value] : []));

async function historyOf(name: string, timeoutMs = 120_000): Promise<History> {
  const events = await follow(trainer, name, undefined, timeoutMs);
  const { run } = await trainer.getRun({ name }, soon);
  assert.equal(run?.state, RunState.SUCCEEDED, run?.failure);
  const { checkpoint } = await trainer.getCheckpoint({ name: `${name}/checkpoints/latest` }, soon);
  return {
    losses: lossesOf(events),
    batches: batchesOf(events),
    files: checkpoint!.files.map(({ role, sha256 }) => `${role} ${Buffer.from(sha256).toString('hex')}`).sort(),
    groups: groupsOf(events),
    events,
  };
}

async function begin(runId: string, spec: RunSpec): Promise<string> {
  return (await trainer.createRun({ parent, runId, spec }, soon)).run!.name;
}

function assertSameBits(history: History, alone: History): void {
  assert.ok(history.losses.length > 100);
  assert.deepEqual(history.losses, alone.losses);
  assert.deepEqual(history.batches, alone.batches);
  assert.deepEqual(history.files, alone.files);
}

const aloneBy = new Map<string, Promise<History>>();

/** The same run of one worker that takes no other. */
function alone(t: TestContext, part: Partial<RunSpec> = {}): Promise<History> {
  const key = `alone-${part.precision ?? ''}-${part.updateFreq ?? ''}`;
  const known =
    aloneBy.get(key) ??
    (async () => {
      const name = await begin(key, specOf(part));
      const only = await worker(t, key);
      const history = await historyOf(name);
      await only.end('SIGTERM');
      return history;
    })();
  aloneBy.set(key, known);
  return known;
}

const isGroupOf =
  (size: number) =>
  ({ event }: RunEvent) =>
    event?.$case === 'group' && event.value.members.length === size;

/** True when a group of that size has made some steps. */
function groupWorks(size: number): (event: RunEvent) => boolean {
  let since = Number.POSITIVE_INFINITY;
  return ({ event }) => {
    if (event?.$case === 'group') since = event.value.members.length === size ? Number(event.value.fromStep) : Number.POSITIVE_INFINITY;
    return event?.$case === 'steps' && event.value.steps.some(({ step }) => Number(step) > since + 2);
  };
}

const sizes: readonly [workers: number, part: Partial<RunSpec>][] = [
  [2, {}],
  [3, { precision: Precision.BF16 }],
  [4, { precision: Precision.BF16 }],
  // A tree of 13 leaves, in subtrees that are not powers of two.
  [5, { updateFreq: 13, batchSize: 4, epochs: 60 }],
];

for (const [size, part] of sizes) {
  const { precision = Precision.FP32, updateFreq = 8 } = part;
  test(`${size} workers have the bits of one, ${Precision[precision]}, ${updateFreq} leaves`, { skip, timeout: 240_000 }, async (t) => {
    const expected = await alone(t, part);
    const name = await begin(`of-${size}`, specOf({ ...part, workers: { min: size, max: size } }));
    const workers = await Promise.all(Array.from({ length: size }, (_, k) => worker(t, `w${k}`)));
    const history = await historyOf(name);
    for (const one of workers) await one.end('SIGTERM');
    assertSameBits(history, expected);
    assert.equal(history.groups.at(-1)?.members.length, size, workers.map((one) => one.log()).join('\n'));
  });
}

test('two runs that need both workers do not wait for each other, and the first one in order is trained first', {
  skip,
  timeout: 240_000,
}, async (t) => {
  const expected = await alone(t);
  const workers = { min: 2, max: 2 };
  const usual = await begin('waits-usual', specOf({ workers }));
  const first = await worker(t, 'first');
  await follow(trainer, usual, ({ event }) => event?.$case === 'claimed');
  // Its priority lets the second worker claim it, instead of helping the first one.
  const urgent = await begin('waits-urgent', specOf({ workers, priority: 1 }));
  const second = await worker(t, 'second');
  const [of, by] = await Promise.all([historyOf(usual, 200_000), historyOf(urgent, 200_000)]);
  for (const one of [first, second]) await one.end('SIGTERM');
  for (const history of [of, by]) assertSameBits(history, expected);
  const claims = ({ events }: History): number => events.filter(({ event }) => event?.$case === 'claimed').length;
  assert.deepEqual([claims(of), claims(by)], [2, 1], first.log() + second.log());
  assert.equal(of.events.filter(({ event }) => event?.$case === 'state' && event.value.released).length, 1);
});

test('a member that is killed is missed by nobody: no checkpoint is loaded, and the bits are the same', {
  skip,
  timeout: 240_000,
}, async (t) => {
  const expected = await alone(t);
  const name = await begin('killed-member', specOf({ workers: { min: 1, max: 3 } }));
  const workers = await Promise.all(['a', 'b', 'c'].map((one) => worker(t, one)));
  const joined = await follow(trainer, name, groupWorks(3));
  const leader = groupsOf(joined).at(-1)!.members[0]!.worker;
  const victim = workers.find((_, k) => ['a', 'b', 'c'][k] !== leader)!;
  await victim.end('SIGKILL');
  const history = await historyOf(name);
  for (const one of workers) if (one !== victim) await one.end('SIGTERM');
  assertSameBits(history, expected);
  assert.ok(
    history.groups.some(({ members, reason }) => members.length === 2 && /lost/.test(reason)),
    workers.map((one) => one.log()).join('\n'),
  );
  assert.equal(history.events.filter(({ event }) => event?.$case === 'resumed').length, 0);
});

test('workers join a run that goes on, and leave it when they stop', { skip, timeout: 240_000 }, async (t) => {
  const expected = await alone(t);
  const name = await begin('joined', specOf({ workers: { min: 1, max: 4 } }));
  const first = await worker(t, 'first');
  await follow(trainer, name, ({ event }) => event?.$case === 'steps');
  const second = await worker(t, 'second');
  await follow(trainer, name, isGroupOf(2));
  assert.equal(await second.end('SIGTERM'), 0);
  const history = await historyOf(name);
  await first.end('SIGTERM');
  assertSameBits(history, expected);
  assert.deepEqual(
    history.groups.map(({ members }) => members.length),
    [2, 1],
    first.log() + second.log(),
  );
});

test('a member that is frozen is lost within the time that is set', { skip, timeout: 240_000 }, async (t) => {
  const expected = await alone(t);
  const name = await begin('frozen-member', specOf({ workers: { min: 1, max: 2 } }));
  const first = await worker(t, 'first');
  await follow(trainer, name, ({ event }) => event?.$case === 'steps');
  const second = await worker(t, 'second');
  await follow(trainer, name, isGroupOf(2));
  second.process.kill('SIGSTOP');
  await follow(trainer, name, isGroupOf(1));
  second.process.kill('SIGCONT');
  const history = await historyOf(name);
  for (const one of [first, second]) await one.end('SIGTERM');
  assertSameBits(history, expected);
});

test('when the leader is killed, the others go on, and the bits are the same', { skip, timeout: 240_000 }, async (t) => {
  const expected = await alone(t);
  const name = await begin('killed-leader', specOf({ workers: { min: 1, max: 3 } }));
  const names = ['a', 'b', 'c'];
  const workers = await Promise.all(names.map((one) => worker(t, one)));
  const joined = await follow(trainer, name, groupWorks(3));
  const leader = workers[names.indexOf(groupsOf(joined).at(-1)!.members[0]!.worker)]!;
  await leader.end('SIGKILL');
  const history = await historyOf(name);
  for (const one of workers) if (one !== leader) await one.end('SIGTERM');
  assertSameBits(history, expected);
  const log = workers.map((one) => one.log()).join('\n');
  const resumed = history.events.flatMap(({ event }) => (event?.$case === 'resumed' ? [event.value] : []));
  assert.deepEqual(
    resumed.map(({ inMemory, checkpoint }) => [inMemory, checkpoint]),
    [[true, '']],
    log,
  );
});

test('a leader that is frozen is replaced, and writes nothing more when it goes on', { skip, timeout: 240_000 }, async (t) => {
  const expected = await alone(t);
  const name = await begin('frozen-leader', specOf({ workers: { min: 1, max: 2 } }));
  const names = ['a', 'b'];
  const workers = await Promise.all(names.map((one) => worker(t, one)));
  const joined = await follow(trainer, name, groupWorks(2));
  const leader = workers[names.indexOf(groupsOf(joined).at(-1)!.members[0]!.worker)]!;
  leader.process.kill('SIGSTOP');
  await follow(trainer, name, ({ event }) => event?.$case === 'resumed');
  leader.process.kill('SIGCONT');
  const history = await historyOf(name);
  for (const one of workers) await one.end('SIGTERM');
  assertSameBits(history, expected);
});

test('a run grows from 1 to 4 workers, shrinks to 2 and ends with 3', { skip, timeout: 240_000 }, async (t) => {
  const expected = await alone(t);
  const name = await begin('grows-and-shrinks', specOf({ workers: { min: 1, max: 4 } }));
  const first = await worker(t, 'first');
  await follow(trainer, name, ({ event }) => event?.$case === 'steps');
  const others = await Promise.all(['second', 'third', 'fourth'].map((one) => worker(t, one)));
  await follow(trainer, name, groupWorks(4));
  await Promise.all([others[0]!.end('SIGKILL'), others[1]!.end('SIGTERM')]);
  await follow(trainer, name, groupWorks(2));
  const last = await worker(t, 'last');
  const history = await historyOf(name);
  for (const one of [first, others[2]!, last]) await one.end('SIGTERM');
  assertSameBits(history, expected);
  assert.equal(history.groups.at(-1)?.members.length, 3);
  assert.equal(history.events.filter(({ event }) => event?.$case === 'resumed').length, 0);
});

test('a bit that flips in the weights of a member is found and named, and the run goes on without it', {
  skip,
  timeout: 240_000,
}, async (t) => {
  const name = await begin('flipped', specOf({ workers: { min: 1, max: 3 }, saveCkptFreq: 40 }));
  const workers = [await worker(t, 'first')];
  await follow(trainer, name, ({ event }) => event?.$case === 'steps');
  workers.push(await worker(t, 'second'));
  await follow(trainer, name, groupWorks(2));
  workers.push(
    await worker(t, 'flips', {
      NODE_OPTIONS: [...sourceFlags, `--import=${import.meta.resolve('../support/flip-a-bit.ts')}`].join(' '),
    }),
  );
  const history = await historyOf(name);
  for (const one of workers) await one.end('SIGTERM');
  const log = workers[0]!.log();
  assert.match(log, /"member":"flips","step":\d+,"tensors":\["head.weight"\],"differing":1/);
  assert.ok(
    history.groups.some(({ reason }) => /flips.*its weights after step \d+ differ.*head\.weight/.test(reason)),
    log,
  );
});
