/** A small system of real processes over a directory store, and what a run's log says of its history. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { indexDataset } from '#data/datasets/index-dataset.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { type RunEvent, RunState, type StepMetrics, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ClientClass, connect } from '#rpc/client.js';
import { openStore } from '#storage/open-store.js';
import { type ServiceProcess, startService } from './processes.js';
import { saveForProjects } from './save-for-projects.js';
import { writeTinyDataset } from './tiny-dataset.js';

export const connectTrainer = (address: string) =>
  connect(TrainerServiceClient as ClientClass<typeof TrainerServiceClient.service>, address);
export type Trainer = ReturnType<typeof connectTrainer>;

export interface Workspace {
  readonly folder: string;
  readonly store: string;
  readonly dataRoot: string;
  readonly train: string;
  readonly test: string;
}

/** A folder of the test with a tiny data set, indexed into a store. */
export async function makeWorkspace(
  t: Pick<TestContext, 'after'>,
  options: { store?: string; train?: number; test?: number; env?: Record<string, string> } = {},
): Promise<Workspace> {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const dataRoot = writeTinyDataset(join(folder, 'data'), { train: options.train ?? 2048, ...(options.test && { test: options.test }) });
  const location = options.store ?? join(folder, 'store');
  const store = await openStore(location, { env: options.env ?? process.env });
  const roots = await AllowedRoots.open([dataRoot]);
  const manifest = async (split: string): Promise<string> => {
    const dataset = await indexDataset(roots, dataRoot, { split });
    await saveForProjects(store, dataset);
    return dataset.sha256;
  };
  const [train, test] = [await manifest('train'), await manifest('test')];
  await store.close();
  return { folder, store: location, dataRoot, train, test };
}

export const startData = (t: TestContext, { store, dataRoot }: Workspace, env: Record<string, string> = {}): Promise<ServiceProcess> =>
  startService(t, 'data', ['--store', store, '--root', dataRoot, '--threads', '1'], env);

/** A trainer with short leases, so that tests of takeovers take seconds. */
export const startTrainer = (
  t: TestContext,
  { store }: Workspace,
  data: readonly ServiceProcess[],
  argv: string[] = [],
  env: Record<string, string> = {},
): Promise<ServiceProcess> =>
  startService(
    t,
    'trainer',
    [
      '--store',
      store,
      '--data',
      data.map(({ address }) => address).join(','),
      '--poll-ms',
      '100',
      '--lease-ttl-ms',
      '1500',
      '--backoff-ms',
      '100',
      ...argv,
    ],
    env,
  );

/** Mixup, cutmix, accumulation, EMA, early linear stochastic depth, clipping: everything that a resume could get wrong. */
export function demandingSpec(workspace: Workspace, overrides: Partial<RunSpec> = {}): RunSpec {
  return RunSpec.fromPartial({
    model: 'vit_nano_p7',
    inputSize: 28,
    trainManifest: workspace.train,
    batchSize: 64,
    updateFreq: 4,
    epochs: 6,
    warmupEpochs: 1,
    lr: 2e-3,
    dropPath: 0.3,
    dropMode: DropMode.EARLY,
    dropSchedule: DropSchedule.LINEAR,
    cutoffEpoch: 4,
    modelEma: true,
    modelEmaDecay: 0.9,
    clipGrad: 1,
    weightDecayEnd: 0.1,
    saveCkptSeconds: 1,
    saveCkptNum: 2,
    disableEval: true,
    seed: 11n,
    ...overrides,
  });
}

const terminal = new Set([RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]);

/** All events until the run ends; `onEvent` may act on the way. Reconnects while the api is down. */
export async function follow(
  trainer: Trainer,
  name: string,
  onEvent: (event: RunEvent) => void = () => {},
  timeoutMs = 120_000,
): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  const deadline = AbortSignal.timeout(timeoutMs);
  for (;;) {
    try {
      for await (const { event } of trainer.watchRun({ name, afterSequence: events.at(-1)?.sequence ?? 0n }, { signal: deadline })) {
        events.push(event!);
        onEvent(event!);
        if (event?.event?.$case === 'state' && terminal.has(event.event.value.state)) return events;
      }
    } catch (error) {
      if (deadline.aborted)
        throw new Error(`run ${name} did not end in ${timeoutMs} ms; last event: ${JSON.stringify(events.at(-1)?.event?.$case)}`, {
          cause: error,
        });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Step → metrics of the run's final history: what a later attempt did again replaces what an earlier one had done past its checkpoint. */
export function history(events: readonly RunEvent[]): Map<number, StepMetrics> {
  const steps = new Map<number, StepMetrics>();
  for (const { event } of events) {
    if (event?.$case === 'resumed') for (const step of [...steps.keys()]) if (step >= Number(event.value.fromStep)) steps.delete(step);
    if (event?.$case === 'steps') for (const metrics of event.value.steps) steps.set(Number(metrics.step), metrics);
  }
  return steps;
}

export const resumes = (events: readonly RunEvent[]): number[] =>
  events.flatMap(({ event }) => (event?.$case === 'resumed' ? [Number(event.value.fromStep)] : []));
