import type { Evaluation } from '#protocol/dropstream/v1/evaluator.js';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import type { Json } from '../api/json.js';

/**
 * Whether an evaluation belongs on the curve of a run: anybody may also evaluate its checkpoints on other images, measure their gradients, or have
 * evaluated those of an earlier run of the same name.
 */
export function isOfRun({ spec, createTime }: Pick<Json<Evaluation>, 'spec' | 'createTime'>, run: Json<Run>): boolean {
  return (
    spec?.checkpoint?.startsWith(`${run.name}/checkpoints/`) === true &&
    spec.manifest === run.spec?.evalManifest &&
    spec.gradientStatistics === undefined &&
    Date.parse(createTime ?? '') >= Date.parse(run.createTime ?? '')
  );
}
