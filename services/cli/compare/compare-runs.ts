/** What tells runs apart: the options in which they differ, and how far and how well they were trained. */
import { runEvents } from '#client/run-events.js';
import { shortNames } from '#errors/short-names.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { type Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { type Difference, differences } from '#spec/differences.js';
import { beginProgress, type RunProgress, takeEvent } from '../follow/run-progress.js';
import type { StudyPlace } from '../study/study-runs.js';

/** The newest and the best value; both absent before the first one. */
export interface Score {
  readonly last?: number | undefined;
  readonly best?: number | undefined;
}

export interface ComparedRun {
  /** Its id, with its project where another one has the same id. */
  readonly run: string;
  readonly state: string;
  readonly step: number;
  readonly totalSteps: number;
  /** Mean training loss of an epoch. */
  readonly trainLoss: Score;
  /** Of the weights on the evaluation images. */
  readonly evalLoss: Score;
  /** In percent. */
  readonly top1: Score;
  /** Over all epochs that have ended; absent before the first one. */
  readonly imagesPerSecond?: number | undefined;
}

export interface Comparison {
  readonly runs: readonly ComparedRun[];
  readonly differences: readonly Difference[];
}

/** Reads the log of every run. `onRun` is called before each, with its number from 0. @throws NotFound */
export async function compareRuns(
  names: readonly string[],
  { client, call }: Pick<StudyPlace, 'client' | 'call'>,
  onRun: (k: number) => void = () => undefined,
): Promise<Comparison> {
  const runs: Run[] = [];
  const compared: ComparedRun[] = [];
  const short = shortNames(names);
  for (const [k, name] of names.entries()) {
    onRun(k);
    const { run } = await client.getRun({ name }, call);
    runs.push(run!);
    const progress = beginProgress({ ...run!, imagesPerStep: (run!.spec?.batchSize ?? 64) * (run!.spec?.updateFreq ?? 1) });
    if (run!.logSequence > 0n) {
      for await (const event of runEvents(client, name, { uid: run!.uid, signal: call.signal })) {
        takeEvent(progress, event);
        if (event.sequence >= run!.logSequence) break;
      }
    }
    compared.push(comparedRun(short[k]!, run!, progress));
  }
  return { runs: compared, differences: differences(runs.map(({ spec }) => RunSpec.toJSON(spec ?? RunSpec.fromPartial({})) as object)) };
}

function comparedRun(name: string, run: Run, progress: RunProgress): ComparedRun {
  const epochs = [...progress.epochs.values()].sort((a, b) => a.epoch - b.epoch);
  const scores = [...progress.evaluations].sort((a, b) => Number(a.step - b.step)).flatMap((one) => one.scores ?? []);
  const seconds = epochs.reduce((sum, epoch) => sum + epoch.seconds, 0);
  const images = epochs.reduce((sum, epoch) => sum + epoch.seconds * epoch.imagesPerSecond, 0);
  return {
    run: name,
    state: RunState[run.state],
    step: Number(run.step),
    totalSteps: Number(run.totalSteps),
    trainLoss: scoreOf(
      epochs.map(({ loss }) => loss),
      Math.min,
    ),
    evalLoss: scoreOf(
      scores.map(({ loss }) => loss),
      Math.min,
    ),
    top1: scoreOf(
      scores.map(({ top1 }) => top1),
      Math.max,
    ),
    imagesPerSecond: seconds > 0 ? images / seconds : undefined,
  };
}

/** A loss that is NaN can be the newest one, but not the best. */
function scoreOf(values: readonly number[], better: (...values: number[]) => number): Score {
  const finite = values.filter(Number.isFinite);
  return { last: values.at(-1), best: finite.length === 0 ? undefined : finite.reduce((a, b) => better(a, b)) };
}
