/** Creates runs and schedules side by side, and looks whether lists have each of them once. */
import { Limiter } from '#bounds/limiter.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { AnswerLog, type Answers } from './answers.js';
import { type LoadedSystem, parent } from './system.js';

/** Calls in flight. */
const together = 32;
const soon = { timeoutMs: 120_000 };

const idOf = (k: number): string => `item-${String(k).padStart(6, '0')}`;
export const runNameOf = (k: number): string => `${parent}/runs/${idOf(k)}`;
export const scheduleNameOf = (k: number): string => `${parent}/schedules/${idOf(k)}`;

async function createAll(log: AnswerLog, what: string, count: number, create: (id: string) => Promise<unknown>): Promise<number> {
  const limiter = new Limiter(together);
  const begun = performance.now();
  const calls = Array.from({ length: count }, (_, k) => limiter.run(() => log.call(what, () => create(idOf(k)))));
  await Promise.all(calls);
  return Math.round((1000 * count) / (performance.now() - begun));
}

/** Reads all pages of a list. */
async function checkList(
  log: AnswerLog,
  what: string,
  expected: readonly string[],
  page: (pageToken: string) => Promise<{ readonly names: readonly string[]; readonly unreadable: number; readonly nextPageToken: string }>,
): Promise<void> {
  const names: string[] = [];
  for (let pageToken = ''; ; ) {
    const answer = await log.call(what, () => page(pageToken));
    if (answer === undefined) return;
    log.check(answer.unreadable === 0, () => `${what}: ${answer.unreadable} items are named as unreadable`);
    names.push(...answer.names);
    pageToken = answer.nextPageToken;
    if (pageToken === '') break;
  }
  const known = new Set(names);
  const missing = expected.filter((name) => !known.has(name));
  log.check(missing.length === 0, () => `${what}: ${missing.length} are missing, the first is ${missing[0]}`);
  log.check(known.size === names.length, () => `${what}: ${names.length - known.size} are listed twice`);
  log.check(known.size <= expected.length, () => `${what}: ${known.size} are listed, and ${expected.length} were created`);
}

export async function fillRuns({ runs, manifest }: LoadedSystem, count: number): Promise<Answers> {
  const log = new AnswerLog();
  const spec = RunSpec.fromPartial({
    ...{ model: 'vit_micro_p8', inputSize: 32, trainManifest: manifest, batchSize: 2, epochs: 1, warmupEpochs: 0, mixup: 0, cutmix: 0 },
  });
  const aSecond = await createAll(log, 'CreateRun', count, (runId) => runs.createRun({ parent, runId, spec }, soon));
  const expected = Array.from({ length: count }, (_, k) => runNameOf(k));
  await checkList(log, 'ListRuns', expected, async (pageToken) => {
    const answer = await runs.listRuns({ parent, pageToken }, soon);
    return { ...answer, names: answer.runs.map(({ name }) => name), unreadable: answer.unreadable.length };
  });
  return log.answers({ count, createdASecond: aSecond });
}

export async function fillSchedules({ schedules }: LoadedSystem, count: number): Promise<Answers> {
  const log = new AnswerLog();
  const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 2 };
  const create = (scheduleId: string) => schedules.createSchedule({ parent, scheduleId, spec }, soon);
  const aSecond = await createAll(log, 'CreateSchedule', count, create);
  const expected = Array.from({ length: count }, (_, k) => scheduleNameOf(k));
  await checkList(log, 'ListSchedules', expected, async (pageToken) => {
    const answer = await schedules.listSchedules({ parent, pageToken }, soon);
    return { ...answer, names: answer.schedules.map(({ name }) => name), unreadable: answer.unreadable.length };
  });
  return log.answers({ count, createdASecond: aSecond });
}
