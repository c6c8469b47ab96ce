/** npm run test:load: many of everything at once, over real processes. It asserts no times, but that every call is answered and nothing is lost. */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { findTool } from '../support/tool.js';
import { AnswerLog, type Answers } from './answers.js';
import type { LoadChild } from './child.js';
import { startDataClients } from './data-clients.js';
import { fillRuns, fillSchedules, runNameOf } from './fill.js';
import { type LoadedSystem, openSystem } from './system.js';
import { callUnary } from './unary-calls.js';
import { startWatchers } from './watchers.js';

const usage = `npm run test:load -- [options]

  --parts A,B,…             which parts (default all of them): schedules, runs, watchers, data, unary; watchers need runs
  --store directory|minio   (default directory)
  --schedules N             (default 10000)
  --runs N                  (default 200)
  --watchers N              watchers of the runs (default 500)
  --clients N               data clients, of which half read slowly (default 50)
  --batch-size N            images of a batch (default 16)
  --seconds N               at least so long, everything happens at once (default 30)
  --calls N                 unary calls of each method by ghz (default 2000)

Schedules and runs are created first. Then, at the same time, runs are watched, paused, resumed and read, data clients read batches, and ghz makes unary
calls. At last all runs are cancelled, which ends their watches. The last line is one JSON object with times in milliseconds. The exit status is 1 if a
call was not answered, an answer was lost or given twice, or something hangs; "problems" says what.`;

const parts = ['schedules', 'runs', 'watchers', 'data', 'unary'] as const;
type Part = (typeof parts)[number];

const { values } = parseArgs({
  options: {
    parts: { type: 'string', default: parts.join(',') },
    store: { type: 'string', default: 'directory' },
    schedules: { type: 'string', default: '10000' },
    runs: { type: 'string', default: '200' },
    watchers: { type: 'string', default: '500' },
    clients: { type: 'string', default: '50' },
    'batch-size': { type: 'string', default: '16' },
    seconds: { type: 'string', default: '30' },
    calls: { type: 'string', default: '2000' },
    help: { type: 'boolean', default: false },
  },
});

const soon = { timeoutMs: 120_000 };
/** How long a part may take to end, in ms. */
const endingMs = 120_000;

function number(option: Exclude<keyof typeof values, 'parts' | 'store' | 'help'>): number {
  const value = Number(values[option]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${option} ${values[option]}: an integer from 1 on is allowed`);
  return value;
}

function chosenParts(): ReadonlySet<Part> {
  const chosen = values.parts.split(',');
  const unknown = chosen.find((part) => !(parts as readonly string[]).includes(part));
  if (unknown !== undefined) throw new Error(`--parts ${unknown}: ${parts.join(', ')} are allowed`);
  const set = new Set(chosen as Part[]);
  if (set.has('watchers') && !set.has('runs')) throw new Error('--parts watchers: runs is needed too');
  return set;
}

function chosenStore(): 'directory' | 'minio' {
  const { store } = values;
  if (store !== 'directory' && store !== 'minio') throw new Error(`--store ${store}: directory or minio is allowed`);
  return store;
}

/** Runs change and are read while others watch them; at last all are cancelled. */
async function useRuns({ runs }: LoadedSystem, count: number, until: Promise<unknown>): Promise<Answers> {
  const log = new AnswerLog();
  let done = false;
  void until.then(() => {
    done = true;
  });
  const change = async (): Promise<void> => {
    for (let k = 0; !done; k++) {
      const name = runNameOf(k % count);
      await log.call('PauseRun', () => runs.pauseRun({ name }, soon));
      await log.call('ResumeRun', () => runs.resumeRun({ name }, soon));
      await delay(100);
    }
  };
  const read = async (): Promise<void> => {
    for (let k = 0; !done; k++) {
      const name = runNameOf(k % count);
      const answer = await log.call('GetRun', () => runs.getRun({ name }, soon));
      log.check(answer === undefined || answer.run?.name === name, () => `GetRun of ${name} returned ${answer?.run?.name}`);
      await delay(5);
    }
  };
  await Promise.all([change(), read()]);
  for (let k = 0; k < count; k++) await log.call('CancelRun', () => runs.cancelRun({ name: runNameOf(k) }, soon));
  return log.answers();
}

/** When all clients have left, the replica holds nothing for them. */
async function checkReplica({ data }: LoadedSystem): Promise<Answers> {
  const log = new AnswerLog();
  const gauges = ['dropstream_data_clients', 'dropstream_data_batch_bytes', 'dropstream_data_waiting_calls'];
  let left: string[] = [];
  for (let look = 0; look < 50; look++) {
    const text = await (await fetch(`${data.admin}/metrics`, { signal: AbortSignal.timeout(10_000) })).text();
    left = gauges.filter((name) => !new RegExp(`^${name} 0$`, 'm').test(text));
    if (left.length === 0) break;
    await delay(200);
  }
  log.check(left.length === 0, () => `after all clients have left, ${left.join(' and ')} of the data replica are not 0`);
  return log.answers();
}

async function load(): Promise<boolean> {
  const [chosen, kind] = [chosenParts(), chosenStore()];
  const [runs, clients] = [number('runs'), number('clients')];
  const ghz = chosen.has('unary') ? await findTool('ghz') : undefined;
  const system = await openSystem(kind);
  if ('skip' in system) {
    console.log(JSON.stringify({ store: kind, skipped: system.skip }));
    return true;
  }
  const results: Record<string, unknown> = {};
  const problems: string[] = [];
  const take = (part: string, answers: Answers): void => {
    results[part] = answers.figures;
    problems.push(...answers.problems.map((problem) => `${part}: ${problem}`));
    console.error(`${part}: ${JSON.stringify(answers.figures)}`);
  };
  try {
    if (chosen.has('schedules')) take('schedules', await fillSchedules(system, number('schedules')));
    if (chosen.has('runs')) take('runs', await fillRuns(system, runs));
    const children: Partial<Record<'watchers' | 'data', LoadChild>> = {};
    if (chosen.has('watchers'))
      children.watchers = startWatchers({ address: system.trainer.address, watchers: number('watchers'), runs, connections: 10 });
    if (chosen.has('data')) {
      const slow = Math.floor(clients / 2);
      const { manifest } = system;
      const options = { address: system.data.address, manifest, fast: clients - slow, slow, batchSize: number('batch-size') };
      children.data = startDataClients(options);
    }
    await Promise.all(Object.values(children).map(({ ready }) => ready));
    const options = { calls: number('calls'), together: 20, runs: chosen.has('runs'), schedules: chosen.has('schedules') };
    const unary = ghz && callUnary(ghz, system, options);
    const together = Promise.all([unary, delay(1000 * number('seconds'))]);
    if (chosen.has('runs')) take('besideOthers', await useRuns(system, runs, together));
    await together;
    if (unary) take('unary', await unary);
    // All runs are cancelled, so every watch ends by itself.
    for (const [part, child] of Object.entries(children)) take(part, await child.end(endingMs));
    if (children.data) take('replica', await checkReplica(system));
  } finally {
    await system.close();
  }
  console.log(JSON.stringify({ store: kind, ...results, problems }));
  return problems.length === 0;
}

if (values.help) console.log(usage);
else if (!(await load())) process.exitCode = 1;
