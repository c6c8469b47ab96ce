/** A run whose worker is asked to end in the middle of a step, and which another worker carries on; beside the same run undisturbed. */
import { setTimeout as delay } from 'node:timers/promises';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import { type ServiceProcess, startService } from '../support/processes.js';
import { connectTrainer, follow, history, resumes, type Workspace } from '../support/training.js';

const CREATE_MS = 30_000;
const CANCELLED = /the step under way was cancelled/;

export interface Evictions {
  /** After which steps a worker gets its signal, each within the next one. */
  readonly after: readonly number[];
  /** Options of the workers. */
  readonly argv: readonly string[];
  readonly limitMs: number;
  /** For whoever waits for a long run. */
  readonly say?: (text: string) => void;
}

export interface Eviction {
  readonly code: number | string;
  /** From the signal to the end of the process. */
  readonly seconds: number;
  /** Whether it cancelled its step. */
  readonly cancelled: boolean;
}

export interface EvictedRun {
  readonly evictions: readonly Eviction[];
  readonly stepSeconds: number;
  /** Steps with which attempts began. */
  readonly resumed: readonly number[];
  /** What is wrong with the run; nothing if all is well. */
  readonly wrong: readonly string[];
}

type Owner = { after(end: () => unknown): void };

/** Trains the spec twice. `owner` ends the processes. */
export async function evictedRun(owner: Owner, workspace: Workspace, spec: RunSpec, options: Evictions): Promise<EvictedRun> {
  const { limitMs, say = () => {} } = options;
  const start = (service: 'data' | 'trainer', argv: readonly string[]): Promise<ServiceProcess> =>
    startService(owner, service, ['--store', workspace.store, ...argv]);
  const data = await start('data', ['--root', workspace.dataRoot, '--threads', '1']);
  const api = await start('trainer', ['--role', 'api', '--poll-ms', '100']);
  const worker = () => start('trainer', ['--role', 'worker', '--data', data.address, '--poll-ms', '100', ...options.argv]);
  const trainer = connectTrainer(api.address);
  owner.after(() => trainer.close());
  const create = async (runId: string): Promise<string> =>
    (await trainer.createRun({ parent: 'projects/test', runId, spec }, { timeoutMs: CREATE_MS })).run!.name;

  let present = await worker();
  const calm = history(await follow(trainer, await create('calm'), undefined, limitMs));
  const lengths = [...calm.values()].map((step) => step.stepSeconds);
  const stepSeconds = Math.max(...lengths);
  say(`undisturbed: ${calm.size} steps of up to ${stepSeconds.toFixed(1)} s`);

  const evictions: Eviction[] = [];
  const evict = async (): Promise<void> => {
    // The middle of the step that began with the record of the one before it; a first step may take much longer than the others.
    await delay((Math.min(...lengths) * 1000) / 2);
    const begun = performance.now();
    const leaving = present;
    const code = await leaving.end('SIGTERM');
    const seconds = (performance.now() - begun) / 1000;
    evictions.push({ code, seconds, cancelled: CANCELLED.test(leaving.log()) });
    say(`evicted: it ended with ${code} after ${seconds.toFixed(1)} s`);
    present = await worker();
  };
  const waiting = [...options.after];
  const changes: Promise<void>[] = [];
  const events = await follow(
    trainer,
    await create('evicted'),
    ({ event }) => {
      if (event?.$case !== 'steps' || waiting.length === 0) return;
      if (Number(event.value.steps.at(-1)!.step) < waiting[0]!) return;
      waiting.shift();
      changes.push(evict());
    },
    limitMs,
  );
  await Promise.all(changes);
  const last = await present.end('SIGTERM');
  const wrong = [...different(events, calm), ...evictions.flatMap(({ code }) => (code === 0 ? [] : [`a worker ended with ${code}`]))];
  if (last !== 0) wrong.push(`the last worker ended with ${last}`);
  if (waiting.length > 0) wrong.push('the run ended before all evictions');
  return { evictions, stepSeconds, resumed: resumes(events), wrong };
}

/** Every step exactly once, in order, with the bits of the undisturbed run; every attempt where the one before it ended. */
function different(events: readonly RunEvent[], calm: ReturnType<typeof history>): string[] {
  const wrong: string[] = [];
  let next = 0;
  for (const { event } of events) {
    if (event?.$case === 'resumed' && Number(event.value.fromStep) !== next)
      wrong.push(`an attempt goes on from step ${event.value.fromStep} where step ${next} was due`);
    if (event?.$case === 'state' && [RunState.FAILED, RunState.CANCELLED].includes(event.value.state)) wrong.push(event.value.reason);
    if (event?.$case !== 'steps') continue;
    for (const { step, loss, gradNorm } of event.value.steps) {
      if (Number(step) !== next) wrong.push(`step ${step} comes where step ${next} was due`);
      next = Number(step) + 1;
      const expected = calm.get(Number(step));
      if (!Object.is(loss, expected?.loss) || !Object.is(gradNorm, expected?.gradNorm))
        wrong.push(`step ${step}: loss ${loss} and norm ${gradNorm} instead of ${expected?.loss} and ${expected?.gradNorm}`);
    }
  }
  if (next !== calm.size) wrong.push(`it has ${next} steps instead of ${calm.size}`);
  return wrong;
}
