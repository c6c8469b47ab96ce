/** Kills in fair weather: how long one run takes from the death of its worker to its first new step. */
import { connectTrainer, type Trainer, type Workspace } from '../support/training.js';
import { type Calm, checkEvents, checkSkipped } from './check-run.js';
import { checkSteps } from './check-steps.js';
import { PARENT, plainSpec } from './run-specs.js';
import { insist, type Recovered, WatchedRun } from './watched-run.js';

const RUN_LIMIT_MS = 120_000;
const RECOVERY_LIMIT_MS = 60_000;

export interface KillsReport {
  /** What came when after each kill. */
  readonly recoveries: Recovered[];
  /** Number of claims that say whom they succeed. */
  readonly successions: number;
  readonly wrong: string[];
}

export interface Kills {
  readonly runId: string;
  /** host:port of the trainer's API, several joined by commas. */
  readonly trainer: string;
  readonly workspace: Workspace;
  readonly calm: Calm;
  readonly count: number;
  /** Kills the worker of the run, and starts another one unless somebody else does. */
  readonly kill: (run: WatchedRun) => Promise<void>;
  readonly signal: AbortSignal;
}

export async function quietKills({ runId, trainer: address, workspace, calm, count, kill, signal }: Kills): Promise<KillsReport> {
  const trainer = connectTrainer(address);
  const limit = AbortSignal.any([signal, AbortSignal.timeout(RUN_LIMIT_MS)]);
  const recoveries: Recovered[] = [];
  const late: string[] = [];
  try {
    const run = await begin(trainer, runId, workspace, limit);
    const following = run.follow(trainer, limit);
    following.catch(() => {});
    for (let killed = 0; killed < count; killed++) {
      await run.until(({ training, checkpointed }) => training && checkpointed, limit);
      if (run.ended) break;
      const recovering = run.recovery(RECOVERY_LIMIT_MS);
      await kill(run);
      const recovered = await recovering;
      if (recovered !== undefined) recoveries.push(recovered);
      else if (!run.ended) late.push(`${runId}: no further step within ${RECOVERY_LIMIT_MS / 1000} s after a kill`);
    }
    await following;
    const successions = run.events.filter(({ event }) => event?.$case === 'claimed' && event.value.succeeds !== '').length;
    const found = [
      ...checkEvents(run.events),
      ...checkSteps(run.events, calm, { sameLosses: true }).wrong,
      ...checkSkipped(run.events, new Set()),
    ];
    const wrong = [...late, ...found.map((what) => `${runId}: ${what}`)];
    if (recoveries.length === 0) wrong.push(`${runId}: it ended before its worker could be killed`);
    return { recoveries, successions, wrong };
  } finally {
    trainer.close();
  }
}

async function begin(trainer: Trainer, runId: string, workspace: Workspace, limit: AbortSignal): Promise<WatchedRun> {
  const call = () =>
    trainer.createRun(
      { parent: PARENT, runId, spec: plainSpec(workspace) },
      { signal: AbortSignal.any([limit, AbortSignal.timeout(5000)]) },
    );
  await insist(call, limit);
  return new WatchedRun(`${PARENT}/runs/${runId}`);
}
