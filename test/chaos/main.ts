/** npm run test:chaos: raises a storm of faults over real processes, MinIO and toxiproxy, and checks every run against an undisturbed one. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { makeWorkspace, type Workspace } from '../support/training.js';
import type { Calm } from './check-run.js';
import { Damage } from './damage.js';
import { type FaultKind, faultKinds, faultPlan } from './fault-plan.js';
import { SMALL_MODEL, stormGroups } from './groups/main-groups.js';
import { Lanes } from './lanes.js';
import { type KillsReport, quietKills } from './quiet-kills.js';
import { late, recoveryTimes, unproven } from './report.js';
import { Storm } from './storm.js';
import { killSupervised } from './supervised.js';
import { openSystem, type System, startFleet, TTL_MS } from './system.js';
import { undisturbed } from './undisturbed.js';

const WORKERS = 3;
/** What an operator is promised: first new step after a kill, ms. */
const SUPERVISED_MS = 3000;
const CLOCK_MS = TTL_MS + 3000;
/** For everything but the storms, and for what each of them leaves to be waited for. */
const REST_MS = 8 * 60_000;
const AFTERMATH_MS = 2 * 60_000;
const RESTART_MS = 300;
/** So many that evaluations last long enough to be hit. */
const TEST_IMAGES = 1024;

const USAGE = `npm run test:chaos -- [--seed N,…] [--minutes M] [--rss-mib N] [--strict] [--keep] [--no-storm] [--groups]

Raises a storm of faults over real processes, MinIO and toxiproxy, and checks every run against an undisturbed one. Prints what it did and how long runs
took to go on as JSON. Ends with 1 where a check fails.

  --seed N,…    which storms, one after the other, from 0; default 1
  --minutes M   how long each of them lasts, at most 600; default 2
  --only KIND,… faults of these kinds only, to hunt for what they may break: ${faultKinds.join(', ')}
  --rss-mib N   largest resident memory of a process, MiB; default 1024
  --strict      times that are too long are failures too: for a machine that does nothing else
  --keep        leaves the logs of all processes and the events of all runs where they are; otherwise only a failure does
  --no-storm    only kills in fair weather, for their times
  --groups      instead, runs that several workers compute, while workers join, leave, are killed, frozen and, as root, cut off; one storm for each seed,
                with 8 leaves and with 13
  --model NAME  of the runs of --groups; default ${SMALL_MODEL}`;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '2' },
    only: { type: 'string', default: faultKinds.join(',') },
    'rss-mib': { type: 'string', default: '1024' },
    strict: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    'no-storm': { type: 'boolean', default: false },
    groups: { type: 'boolean', default: false },
    model: { type: 'string', default: SMALL_MODEL },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const seeds = values.seed.split(',').map(Number);
const minutes = Number(values.minutes);
const kinds = values.only.split(',') as FaultKind[];
const mostMib = Number(values['rss-mib']);
if (
  !seeds.every((seed) => Number.isInteger(seed) && seed >= 0) ||
  !(minutes > 0 && minutes <= 600) ||
  !(mostMib > 0) ||
  !kinds.every((kind) => faultKinds.includes(kind))
) {
  console.error(
    'test:chaos: --seed is one or several integers from 0, --minutes above 0 and at most 600, --rss-mib above 0, --only names faults',
  );
  process.exit(2);
}

const stormMs = minutes * 60_000;
const mostMs = seeds.length * (stormMs + AFTERMATH_MS) + REST_MS;
const ending = new AbortController();
const { signal } = ending;
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort(new Error(`stopped by ${name}`)));

const began = performance.now();
const say = (text: string): void =>
  console.error(`${new Date().toISOString().slice(11, 23)} ${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${text}`);

if (values.groups) {
  const wrong = await stormGroups(seeds, values.model, say);
  console.log(JSON.stringify({ wrong }));
  process.exit(wrong.length > 0 ? 1 : 0);
}

/** Kills in fair weather, where only the clock tells that a worker is gone. */
async function killClocked(system: System, workspace: Workspace, calm: Calm): Promise<KillsReport> {
  const apis = system.of('trainer', 'api').map(({ address }) => address);
  const restarts: Promise<void>[] = [];
  const wrong: string[] = [];
  const report = await quietKills({
    runId: 'clocked',
    trainer: apis.join(','),
    workspace,
    calm,
    count: 2,
    signal,
    kill: async (run) => {
      const worker = system.of('trainer', 'worker').find(({ pid }) => run.owner.split(':').includes(String(pid)));
      if (worker === undefined) throw new Error(`no worker is ${run.owner}, which trains ${run.name}`);
      await worker.kill();
      const restart = delay(RESTART_MS).then(() => worker.start());
      restarts.push(restart.catch((error) => void wrong.push(`a killed worker could not be started again: ${error}`)));
    },
  });
  await Promise.all(restarts);
  return { ...report, wrong: [...report.wrong, ...wrong] };
}

interface StormResult {
  readonly facts: object;
  readonly recoveries: object;
  readonly wrong: readonly string[];
}

async function raiseStorm(system: System, workspace: Workspace, calm: Calm): Promise<StormResult> {
  const damage = new Damage();
  const lanes = new Lanes(system, workspace, calm, damage, signal);
  const storm = new Storm(system, lanes, damage, say, signal);
  const going = lanes.go();
  going.catch(() => {});
  for (const seed of seeds) {
    say(`the storm of seed ${seed}`);
    await storm.rage(faultPlan(seed, stormMs, kinds));
  }
  say('the last storm is over');
  lanes.finish();
  await going;
  lanes.close();
  const { faults, recoveries } = storm.report;
  const { checked: runs, recreated, longest, silences } = lanes.report;
  return {
    facts: { seeds, minutes, faults, runs, recreated, ...lanes.counts, longest, silences },
    recoveries: recoveryTimes(recoveries),
    wrong: [...lanes.report.wrong, ...storm.report.wrong, ...unproven({ faults, counts: lanes.counts, lanes: lanes.report })],
  };
}

async function chaos(system: System, cleanups: (() => unknown)[]): Promise<string[]> {
  const workspace = await makeWorkspace(
    { after: (end) => void cleanups.push(end as () => unknown) },
    { store: system.storeUri, env: system.env as Record<string, string>, test: TEST_IMAGES },
  );
  await startFleet(system, workspace.dataRoot, WORKERS);
  const memory = setInterval(() => {
    for (const one of system.processes) one.measure();
  }, 500);
  try {
    say('an undisturbed run');
    const calm = await undisturbed(system, workspace);

    say('kills in fair weather, where only the clock tells');
    const clocked = await killClocked(system, workspace, calm);

    const storm = values['no-storm'] ? undefined : await raiseStorm(system, workspace, calm);

    say('kills below dropstream up');
    const fleet = system.processes.splice(0);
    const memoryMib = Object.fromEntries(fleet.map(({ name, mostMib: peak }) => [name, Math.round(peak)]));
    await Promise.all(fleet.map((one) => one.stop()));
    const supervised = await killSupervised(system, workspace, calm, signal);

    const tooMuch = Object.entries(memoryMib).filter(([, peak]) => peak > mostMib);
    const wrong = [
      ...[...clocked.wrong, ...(storm?.wrong ?? []), ...supervised.wrong, ...fleet.flatMap(({ crashes }) => crashes)],
      ...tooMuch.map(([name, peak]) => `${name} used ${peak} MiB, more than ${mostMib}`),
    ];
    const tooLate = [
      ...late('below up', supervised.recoveries, SUPERVISED_MS),
      ...late('where only the clock tells', clocked.recoveries, CLOCK_MS),
    ];
    const disk = system.disk?.how ?? 'no file system can be mounted here: the gateway answers writes with 507';
    const recovery = { supervised: supervised.recoveries, clock: clocked.recoveries, storm: storm?.recoveries };
    console.log(JSON.stringify({ ...storm?.facts, disk, recovery, late: tooLate, memoryMib, mostMib, wrong }, null, 2));
    say('the end');
    return values.strict ? [...wrong, ...tooLate] : wrong;
  } finally {
    clearInterval(memory);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'dropstream-chaos-'));
const system = await openSystem(folder, seeds.length * minutes);
if ('skip' in system) {
  console.log(`skipped: ${system.skip}`);
  rmSync(folder, { recursive: true, force: true });
} else {
  const cleanups: (() => unknown)[] = [];
  let wrong: string[];
  // Not before, because a cold machine builds the tools for minutes.
  const timer = setTimeout(() => ending.abort(new Error(`not everything was over after ${mostMs / 60_000} minutes`)), mostMs);
  try {
    wrong = await chaos(system, cleanups);
  } catch (error) {
    wrong = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    console.error(wrong[0]);
  }
  clearTimeout(timer);
  await system.stop();
  for (const cleanup of cleanups) await cleanup();
  if (wrong.length > 0) console.error(`${wrong.length} checks failed`);
  if (wrong.length > 0 || values.keep) console.error(`the logs of all processes and the events of all runs are in ${system.logs}`);
  else rmSync(folder, { recursive: true, force: true });
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
process.exit();
