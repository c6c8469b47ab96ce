/**
 * npm run test:chaos -- --seed N [--minutes M] [--rss-mib N] [--strict]: raises a storm of faults over real processes, MinIO and toxiproxy, and checks every run
 * against an undisturbed one. Prints what it did and how long runs took to go on as JSON; ends with 1 where a check fails, and then names the folder
 * with the logs of all processes. --strict: times that are too long are failures too; use it on a machine that does nothing else.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { expectedBatches } from '../support/expected-batches.js';
import { connectTrainer, follow, history, makeWorkspace, type Workspace } from '../support/training.js';
import { evaluationsOf } from './check-evaluations.js';
import type { Calm } from './check-run.js';
import { faultPlan } from './fault-plan.js';
import { Lanes } from './lanes.js';
import { quietKills } from './quiet-kills.js';
import { evaluatedSpec, PARENT } from './run-specs.js';
import { Storm } from './storm.js';
import { killSupervised } from './supervised.js';
import { openSystem, type System, startFleet, TTL_MS } from './system.js';

const WORKERS = 3;
/** What an operator is promised: first new step after a kill, ms. */
const SUPERVISED_MS = 3000;
const CLOCK_MS = TTL_MS + 3000;
/** For everything but the storm. */
const REST_MS = 8 * 60_000;
const RESTART_MS = 300;
/** So many that evaluations last long enough to be hit. */
const TEST_IMAGES = 1024;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string', default: '2' },
    'rss-mib': { type: 'string', default: '1024' },
    strict: { type: 'boolean', default: false },
  },
});
const seed = Number(values.seed);
const minutes = Number(values.minutes);
const mostMib = Number(values['rss-mib']);
if (!Number.isInteger(seed) || seed < 0 || !(minutes > 0 && minutes <= 600) || !(mostMib > 0)) {
  console.error('test:chaos: --seed is an integer from 0, --minutes above 0 and at most 600, --rss-mib above 0');
  process.exit(2);
}

const stormMs = minutes * 60_000;
const ending = new AbortController();
const signal = AbortSignal.any([ending.signal, AbortSignal.timeout(stormMs + REST_MS)]);
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => ending.abort(new Error(`stopped by ${name}`)));

const began = performance.now();
const say = (text: string): void => console.error(`${((performance.now() - began) / 1000).toFixed(1).padStart(7)} s  ${text}`);

async function undisturbed(system: System, workspace: Workspace): Promise<Calm> {
  const trainer = connectTrainer(system.of('trainer', 'api')[0]!.address);
  try {
    const spec = evaluatedSpec(workspace);
    const { run } = await trainer.createRun({ parent: PARENT, runId: 'calm', spec }, { timeoutMs: 20_000 });
    const events = await follow(trainer, run!.name);
    const steps = history(events);
    const expected = await expectedBatches(system.of('data')[0]!.address, spec, 4, 8);
    const trained = [...steps]
      .sort(([a], [b]) => a - b)
      .flatMap(([, { batchSha256 }]) => batchSha256.map((hash) => Buffer.from(hash).toString('hex')));
    if (trained.join() !== expected.hashes.join()) throw new Error('the undisturbed run was not trained on the batches of its plan');
    for (const positions of expected.samplesByEpoch)
      if (new Set(positions).size !== 2048) throw new Error('an epoch of the plan does not have every sample once');
    const results = new Map(evaluationsOf(events).flatMap(({ step, result }) => (result ? [[Number(step), result] as const] : [])));
    if (results.size !== spec.epochs || [...results.values()].some(({ weights, ema }) => !weights || !ema))
      throw new Error(`the undisturbed run has the results of ${results.size} of ${spec.epochs} evaluations`);
    return { steps, results };
  } finally {
    trainer.close();
  }
}

const summary = (times: readonly number[]): object => {
  const sorted = [...times].sort((a, b) => a - b);
  return { count: sorted.length, medianMs: sorted[sorted.length >> 1] ?? null, longestMs: sorted.at(-1) ?? null };
};

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
    const apis = system.of('trainer', 'api').map(({ address }) => address);
    const clocked = await quietKills({
      runId: 'clocked',
      trainer: apis.join(','),
      workspace,
      calm,
      count: 2,
      signal,
      kill: async (run) => {
        const worker = system.of('trainer', 'worker').find(({ pid }) => run.owner.split(':').includes(String(pid)));
        await worker?.kill();
        setTimeout(() => void worker?.start().catch(() => {}), RESTART_MS);
      },
    });

    say('the storm');
    const damaged = new Set<string>();
    const lanes = new Lanes(system, workspace, calm, damaged, signal);
    const storm = new Storm(system, lanes, damaged, say, signal);
    const going = lanes.go();
    going.catch(() => {});
    await storm.rage(faultPlan(seed, stormMs));
    say('the storm is over');
    lanes.finish();
    await going;
    lanes.close();

    say('kills below dropstream up');
    const fleet = system.processes.splice(0);
    const peaks = Object.fromEntries(fleet.map(({ name, mostMib: peak }) => [name, Math.round(peak)]));
    await Promise.all(fleet.map((one) => one.stop()));
    const supervised = await killSupervised(system, workspace, calm, signal);

    const wrong = [...clocked.wrong, ...lanes.report.wrong, ...storm.report.wrong, ...supervised.wrong];
    for (const [name, peak] of Object.entries(peaks)) if (peak > mostMib) wrong.push(`${name} used ${peak} MiB, more than ${mostMib}`);
    const late = [
      ...supervised.recoveriesMs
        .filter((ms) => ms > SUPERVISED_MS)
        .map((ms) => `below up, a kill cost ${ms} ms, more than ${SUPERVISED_MS}`),
      ...clocked.recoveriesMs
        .filter((ms) => ms > CLOCK_MS)
        .map((ms) => `where only the clock tells, a kill cost ${ms} ms, more than ${CLOCK_MS}`),
    ];
    const kinds = [...new Set(storm.report.recoveries.map(({ after }) => after))];
    const recovery = {
      supervised: summary(supervised.recoveriesMs),
      clock: summary(clocked.recoveriesMs),
      storm: Object.fromEntries(
        kinds.map((kind) => [kind, summary(storm.report.recoveries.filter(({ after }) => after === kind).map(({ ms }) => ms))]),
      ),
    };
    const disk = system.disk?.how ?? 'no file system can be mounted here: the gateway answers writes with 507';
    console.log(
      JSON.stringify(
        {
          ...{ seed, minutes, faults: storm.report.faults, disk, runs: lanes.report.checked, ...lanes.counts },
          ...{ recovery, late, memoryMib: peaks, mostMib, wrong },
        },
        null,
        2,
      ),
    );
    return values.strict ? [...wrong, ...late] : wrong;
  } finally {
    clearInterval(memory);
  }
}

const folder = mkdtempSync(join(tmpdir(), 'dropstream-chaos-'));
const system = await openSystem(folder);
if ('skip' in system) {
  console.log(`skipped: ${system.skip}`);
  rmSync(folder, { recursive: true, force: true });
} else {
  const cleanups: (() => unknown)[] = [];
  let wrong: string[];
  try {
    wrong = await chaos(system, cleanups);
  } catch (error) {
    wrong = [error instanceof Error ? (error.stack ?? error.message) : String(error)];
    console.error(wrong[0]);
  }
  await system.stop();
  for (const cleanup of cleanups) await cleanup();
  if (wrong.length === 0) rmSync(folder, { recursive: true, force: true });
  else console.error(`${wrong.length} checks failed; the logs of all processes are in ${system.logs}`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}
process.exit();
