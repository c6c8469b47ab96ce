/** Completes the short names in the spec of a run that `train` or a study creates. */
import { invalid } from '#errors/errors.js';
import type { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { checkpointName, fullName, type SharedOptions } from './commands/shared-options.js';

/** @throws InvalidArgument for a file of weights, which has to be imported first */
export function completeNames(spec: RunSpec, given: SharedOptions): void {
  if (spec.schedule !== '') spec.schedule = fullName('schedules', spec.schedule, given);
  if (spec.finetune !== '') spec.finetune = storedCheckpoint('finetune', spec.finetune, given);
}

function storedCheckpoint(option: string, given: string, options: SharedOptions): string {
  if (!/\.(pth|pt|bin|safetensors)$|^https?:/.test(given)) return checkpointName(given, options);
  throw invalid(option, given, 'RUN, RUN/best or RUN/CHECKPOINT; store a file first with `dropstream checkpoints import`');
}
