/**
 * npm run test:rolling: every process of a system with two replicas of each api is restarted twice, over MinIO, while runs are trained and evaluated and
 * callers call.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { type Calm, checkEvents } from '../chaos/check-run.js';
import { checkSteps } from '../chaos/check-steps.js';
import { type RunningMinio, startMinio } from '../support/minio.js';
import { connectTrainer, demandingSpec, follow, history, makeWorkspace, type Workspace } from '../support/training.js';
import { ReplicatedFleet } from './replicated-fleet.js';
import { callSteadily } from './steady-caller.js';

const usage = `npm run test:rolling -- [--rounds N]

Restarts every process N times (default 2): two replicas of each api, two workers that train and one that evaluates, over MinIO. Meanwhile runs are trained
and evaluated, and callers call every service. The last line is one JSON object; the exit status is 1 if a call failed that may be repeated within its
deadline, if a run differs from an undisturbed one or did a step twice, or if a process did not end in order.`;

const parent = 'projects/test';
const soon = { timeoutMs: 30_000 };
const FOLLOW_MS = 240_000;

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '2' }, help: { type: 'boolean', default: false } } });

class Rolling {
  readonly #trainer;

  constructor(
    private readonly fleet: ReplicatedFleet,
    private readonly workspace: Workspace,
  ) {
    this.#trainer = connectTrainer(fleet.address('trainer'));
  }

  async run(rounds: number): Promise<{ wrong: string[] } & Record<string, unknown>> {
    const { fleet, workspace } = this;
    const calm: Calm = { steps: history(await this.#train('calm')), results: new Map() };
    const over = new AbortController();
    const called = { parent, run: `${parent}/runs/calm`, manifest: workspace.train };
    const calls = callSteadily((service) => fleet.address(service), called, over.signal);
    const histories: RunEvent[][] = [];
    const training = (async () => {
      while (!over.signal.aborted) histories.push(await this.#train(`run-${histories.length}`));
    })();
    // Awaited below, after what may fail before.
    training.catch(() => {});
    const began = performance.now();
    try {
      for (let round = 0; round < rounds; round++) await fleet.restart();
    } finally {
      over.abort();
    }
    const seconds = (performance.now() - began) / 1000;
    const { answered, failed } = await calls;
    await training;
    const checked = histories.map((events) => ({ events: checkEvents(events), steps: checkSteps(events, calm, { sameLosses: true }) }));
    const repeated = checked.reduce((sum, { steps }) => sum + steps.repeated, 0);
    const attempts = histories.flat().filter(({ event }) => event?.$case === 'claimed').length;
    const { starts, crashes } = fleet.facts;
    const wrong = [...failed, ...crashes, ...checked.flatMap(({ events, steps }) => [...events, ...steps.wrong])];
    if (repeated > 0) wrong.push(`${repeated} steps were done twice`);
    if (attempts === histories.length) wrong.push('no run changed its worker');
    return { seconds, answered, runs: histories.length, attempts, repeated, starts, wrong };
  }

  close(): void {
    this.#trainer.close();
  }

  async #train(runId: string): Promise<RunEvent[]> {
    const evaluated = { evalManifest: this.workspace.test, disableEval: false };
    const spec = RunSpec.fromPartial({ ...demandingSpec(this.workspace, { saveCkptSeconds: 0, saveCkptFreq: 3 }), ...evaluated });
    const { run } = await this.#trainer.createRun({ parent, runId, requestId: runId, spec }, soon);
    return await follow(this.#trainer, run!.name, undefined, FOLLOW_MS);
  }
}

async function rolling(minio: RunningMinio, ends: (() => unknown)[]): Promise<boolean> {
  const store = await minio.createBucket('rolling');
  const env = { ...process.env, ...minio.env, DROPSTREAM_THREADS: '1' } as Record<string, string>;
  const workspace = await makeWorkspace({ after: (end) => void ends.push(end as () => unknown) }, { store, env, train: 512, test: 64 });
  const logs = join(workspace.folder, 'logs');
  mkdirSync(logs);
  const fleet = await ReplicatedFleet.start({ store, dataRoot: workspace.dataRoot, logs, env });
  ends.push(() => fleet.stop());
  const system = new Rolling(fleet, workspace);
  ends.push(() => system.close());
  const report = await system.run(Number(values.rounds));
  console.log(JSON.stringify(report));
  return report.wrong.length === 0;
}

async function main(): Promise<void> {
  const minio = await startMinio();
  if ('skip' in minio) return console.log(`skipped: ${minio.skip}`);
  const ends: (() => unknown)[] = [() => minio.stop()];
  try {
    if (!(await rolling(minio, ends))) process.exitCode = 1;
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

if (values.help) console.log(usage);
else await main();
