/** The options of the adaptive cutoff: what is refused, and the defaults. */
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff } from '#protocol/dropstream/v1/schedule_types.js';
import { dropModes } from '#spec/words.js';
import { type OptionKey, runOptions } from './run-options.js';
import type { Refuse, ResolvedSpec } from './run-spec.js';

/** Those that only runs with an adaptive cutoff have. */
export const adaptiveOptions = ['cutoffEvery', 'cutoffBatches', 'cutoffPatience'] as const;

/** About how many measurements a whole training has by default, so that they cost about a thirtieth of a training that keeps its drop. */
const defaultMeasurements = 30;
const defaultBatches = 32;
const defaultPatience = 2;

/** @param spec the request's. @param value the same with defaults. @param sound whether these options are valid by themselves */
export function checkCutoff(refuse: Refuse, spec: RunSpec, value: ResolvedSpec, sound: (...keys: OptionKey[]) => boolean): void {
  if (value.cutoff !== DropCutoff.ADAPTIVE) {
    for (const key of adaptiveOptions) refuse(spec[key] === undefined, runOptions[key].name, spec[key], 'absent unless cutoff is adaptive');
    return;
  }
  const { dropMode, dropout, dropPath, saveCkpt, epochs } = value;
  if (sound('dropMode')) {
    const mode = dropModes.wordOf(dropMode);
    refuse(mode === 'early', 'drop_mode', mode, 'early if cutoff is adaptive, because only early drop has an end');
  }
  if (sound('dropout', 'dropPath')) {
    const rule = 'above 0, or drop_path, if cutoff is adaptive, because without drop there is nothing to end';
    refuse(dropout > 0 || dropPath > 0, 'dropout', dropout, rule);
  }
  refuse(saveCkpt, 'save_ckpt', saveCkpt, 'true if cutoff is adaptive, because gradients are measured from checkpoints');
  if (sound('cutoffEpoch', 'cutoffEvery', 'epochs')) checkMeasured(refuse, spec, epochs);
}

/** A run of which nothing could be measured in time would have a fixed cutoff without saying so. */
function checkMeasured(refuse: Refuse, { cutoffEpoch, cutoffEvery }: RunSpec, epochs: number): void {
  const every = cutoffEvery ?? defaultEvery(epochs);
  const latest = cutoffEpoch ?? epochs;
  if (latest > epochs || every + 2 <= latest) return;
  const why = 'because a measurement counts one epoch later, and only before cutoff_epoch';
  if (cutoffEvery !== undefined && epochs > 2 && (latest > 2 || every + 2 > epochs))
    refuse(false, 'cutoff_every', cutoffEvery, `at most ${Math.max(3, latest) - 2}, ${why}`);
  else if (cutoffEpoch === undefined) refuse(false, 'epochs', epochs, `at least 3 if cutoff is adaptive, ${why}`);
  else refuse(false, 'cutoff_epoch', cutoffEpoch, `at least ${every + 2} if cutoff is adaptive and cutoff_every is ${every}, ${why}`);
}

const defaultEvery = (epochs: number): number => Math.max(1, Math.floor(epochs / defaultMeasurements));

/** The defaults of an adaptive cutoff; nothing for a fixed one. @param value with the defaults that do not depend on other options. @param given the request's */
export function resolvedCutoff(
  value: ResolvedSpec,
  given: RunSpec,
): Partial<Pick<ResolvedSpec, 'cutoffEpoch' | (typeof adaptiveOptions)[number]>> {
  if (value.cutoff !== DropCutoff.ADAPTIVE) return {};
  const { epochs, cutoffEvery, cutoffBatches, cutoffPatience } = value;
  return {
    cutoffEpoch: given.cutoffEpoch ?? epochs,
    cutoffEvery: cutoffEvery ?? defaultEvery(epochs),
    cutoffBatches: cutoffBatches ?? defaultBatches,
    cutoffPatience: cutoffPatience ?? defaultPatience,
  };
}
