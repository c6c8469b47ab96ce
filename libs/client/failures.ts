/** Errors of waiting for work that did not succeed. */
import { type Evaluation, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { type Run, RunState } from '#protocol/dropstream/v1/trainer.js';

const because = (failure: string): string => (failure === '' ? '' : `: ${failure}`);

/** The run failed or was cancelled. */
export class RunFailed extends Error {
  override readonly name = 'RunFailed';
  constructor(readonly run: Run) {
    super(`${run.name} is ${RunState[run.state]}${because(run.failure)}`);
  }
}

/** The evaluation failed or was cancelled. */
export class EvaluationFailed extends Error {
  override readonly name = 'EvaluationFailed';
  constructor(readonly evaluation: Evaluation) {
    super(`${evaluation.name} is ${EvaluationState[evaluation.state]}${because(evaluation.failure)}`);
  }
}
