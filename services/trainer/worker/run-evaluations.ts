/** The evaluations of a run's checkpoints, written to its log as they end. */
import { formatName } from '#errors/resource-names.js';
import { isBest } from '../run/run-state.js';
import type { AttemptContext } from './attempt-context.js';
import { CheckpointEvaluations } from './evaluations.js';

/** Absent for a run whose checkpoints are not evaluated. Whoever opens them closes them. */
export function openRunEvaluations(context: AttemptContext): CheckpointEvaluations | undefined {
  const { evaluator, spec, project, run, claimed, logger, metrics } = context;
  if (evaluator === undefined || spec.disableEval || spec.evalManifest === '') return undefined;
  return new CheckpointEvaluations({
    client: evaluator,
    parent: formatName('project', { project }),
    spec,
    runUid: claimed.view.run.uid,
    logger,
    signal: claimed.signal,
    append: async (record) => {
      await claimed.append((now) => {
        const top1 = record.result?.weights?.top1;
        const best = top1 !== undefined && isBest(now, Number(record.step), top1);
        return { body: { $case: 'evaluation', value: { ...record, best } } };
      });
    },
    onEnded: (seconds, { result, failure }) => {
      metrics.evaluation.observe(seconds);
      metrics.evaluations.inc({ outcome: failure === '' ? 'succeeded' : 'failed' });
      if (result?.weights) metrics.top1.set({ project, run }, result.weights.top1 / 100);
    },
  });
}
