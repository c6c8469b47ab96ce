/** Runs that are trained and evaluated, and callers that call, while the processes of a fleet are replaced; and what must be true of them. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { type Calm, checkEvents } from '../chaos/check-run.js';
import { checkSteps } from '../chaos/check-steps.js';
import { type RunningMinio, startMinio } from '../support/minio.js';
import { connectTrainer, demandingSpec, follow, history, makeWorkspace, type Workspace } from '../support/training.js';
import { ReplicatedFleet } from './replicated-fleet.js';
import { callSteadily } from './steady-caller.js';

const parent = 'projects/test';
const soon = { timeoutMs: 30_000 };
const FOLLOW_MS = 240_000;

/**
 * Prints what happened as one JSON object, and sets the exit status to 1 if something was wrong.
 * @param change what is done to the fleet @param earlier the program that it begins with; default: this version
 */
export async function shake(change: (fleet: ReplicatedFleet) => Promise<void>, earlier?: string): Promise<void> {
  const minio = await startMinio();
  if ('skip' in minio) return console.log(`skipped: ${minio.skip}`);
  const ends: (() => unknown)[] = [() => minio.stop()];
  try {
    const report = await over(minio, change, ends, earlier);
    console.log(JSON.stringify(report));
    if (report.wrong.length > 0) process.exitCode = 1;
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

async function over(
  minio: RunningMinio,
  change: (fleet: ReplicatedFleet) => Promise<void>,
  ends: (() => unknown)[],
  earlier: string | undefined,
): Promise<{ wrong: string[] }> {
  const store = await minio.createBucket('fleet');
  const env = { ...process.env, ...minio.env, DROPSTREAM_THREADS: '1' } as Record<string, string>;
  const workspace = await makeWorkspace({ after: (end) => void ends.push(end as () => unknown) }, { store, env, train: 512, test: 64 });
  const logs = join(workspace.folder, 'logs');
  mkdirSync(logs);
  const fleet = await ReplicatedFleet.start({ store, dataRoot: workspace.dataRoot, logs, env, earlier });
  ends.push(() => fleet.stop());
  const system = new ShakenFleet(fleet, workspace);
  ends.push(() => system.close());
  return await system.during(() => change(fleet));
}

/** Trains and calls while something is done to a fleet. */
class ShakenFleet {
  readonly #trainer;

  constructor(
    private readonly fleet: ReplicatedFleet,
    private readonly workspace: Workspace,
  ) {
    this.#trainer = connectTrainer(fleet.address('trainer'));
  }

  /** Runs and calls go on until `change` has ended. @returns what happened; `wrong` says what should not have */
  async during(change: () => Promise<void>): Promise<{ wrong: string[] } & Record<string, unknown>> {
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
      await change();
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
