/** `dropstream study create`: creates the runs of a file and follows them to their end. */
import { setTimeout as delay } from 'node:timers/promises';
import { Reconnects } from '#client/reconnects.js';
import { Cancelled } from '#errors/errors.js';
import { type Run, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { projectName, type SharedOptions, shortName, withClient } from '../commands/shared-options.js';
import { completeNames } from '../complete-names.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { indexForRun } from '../index-for-run.js';
import { bar, count } from '../output/numbers.js';
import { type PlannedRun, runsOf, type Study } from './study-file.js';
import { StudyRuns } from './study-runs.js';

export interface CreateOptions extends SharedOptions {
  readonly store?: string;
  readonly detach?: boolean;
}

const POLL_MS = 1000;

/** @throws CommandError (exit code 1) if a run failed */
export async function createStudy(study: Study, options: CreateOptions, context: Context): Promise<void> {
  const { terminal, signal } = context;
  const planned = runsOf(study);
  for (const note of new Set(planned.flatMap(({ request }) => request.notes))) terminal.err(note);
  for (const { request } of planned) completeNames(request.spec, options);
  await indexImages(planned, options, context);
  await withClient(TrainerServiceClient, 'trainer', options, context, async (client, call) => {
    const onChange = ({ name, state, failure }: Run): void =>
      terminal.err(`${shortName(name)} is ${RunState[state]}${failure && `: ${failure}`}`);
    const runs = new StudyRuns(study, planned, { client, parent: projectName(options), call }, onChange);
    await runs.check();
    const patience = new Reconnects({ signal, onReconnect: ({ message }) => terminal.status(`trying again: ${message}`) });
    for (;;) {
      try {
        if (await runs.advance()) break;
        if (options.detach) {
          const left = planned.length - runs.runs.length;
          terminal.out(`${study.name}: ${count(runs.runs.length)} runs`);
          if (left > 0) terminal.err(`${count(left)} runs are not created yet: the same command goes on with them`);
          return;
        }
        patience.connected();
        terminal.status(statusLine(runs.runs, planned.length));
      } catch (error) {
        patience.bear(error);
      }
      await delay(POLL_MS, undefined, { signal }).catch((cause) => {
        throw new Cancelled('the study', { cause });
      });
    }
    terminal.status('');
    const failed = runs.runs.filter(({ state }) => state === RunState.FAILED);
    const stopped = [...runs.failedArms()];
    const arms = stopped.length > 0 ? `; stopped with their first failure: ${stopped.join(', ')}` : '';
    if (failed.length > 0) throw new CommandError(`${failed.length} of ${planned.length} runs of ${study.name} failed${arms}`);
    terminal.out(`${study.name}: all ${count(planned.length)} runs have ended`);
    terminal.err(`compare them with \`dropstream study report ${study.name}\``);
  });
}

/** Images that several arms share are indexed once. */
async function indexImages(planned: readonly PlannedRun[], options: CreateOptions, context: Context): Promise<void> {
  const done = new Map<string, PlannedRun['request']>();
  for (const { request } of planned) {
    const { data, spec } = request;
    const key = JSON.stringify([data, spec.maxUndecodable, spec.nbClasses, spec.evalManifest]);
    const same = done.get(key);
    if (same === undefined) {
      await indexForRun(request, options, context);
      done.set(key, request);
    } else if (data.data_path) {
      spec.trainManifest = same.spec.trainManifest;
      spec.evalManifest = same.spec.evalManifest;
    }
  }
}

function statusLine(runs: readonly Run[], planned: number): string {
  const steps = runs.reduce((sum, run) => sum + Number(run.step) / Math.max(1, Number(run.totalSteps)), 0);
  const of = (state: RunState) => runs.filter((run) => run.state === state).length;
  const parts = [
    `${of(RunState.SUCCEEDED)} of ${planned} runs succeeded`,
    `${of(RunState.RUNNING)} running`,
    `${of(RunState.QUEUED)} queued`,
  ];
  return `${bar(steps / planned)} ${parts.join(', ')}`;
}
