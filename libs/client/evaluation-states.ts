/** Follows an evaluation until it has ended, and reconnects when the connection breaks. */
import { type Evaluation, EvaluationState, type EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import type { TypedClient } from '#rpc/client.js';
import { type Patience, Reconnects } from './reconnects.js';

export type EvaluatorClient = TypedClient<(typeof EvaluatorServiceClient)['service']>;

const endStates: ReadonlySet<EvaluationState> = new Set([EvaluationState.SUCCEEDED, EvaluationState.FAILED, EvaluationState.CANCELLED]);

/**
 * Yields the evaluation after each change; the last one has ended.
 * @throws Unavailable or DeadlineExceeded after `patienceSeconds` without a connection or an answer
 */
export async function* evaluationStates(client: EvaluatorClient, name: string, options: Patience): AsyncGenerator<Evaluation, void, void> {
  const reconnects = new Reconnects(options);
  for (;;) {
    try {
      for await (const { evaluation } of client.watchEvaluation({ name }, { signal: options.signal })) {
        reconnects.connected();
        if (evaluation === undefined) continue;
        yield evaluation;
        if (endStates.has(evaluation.state)) return;
      }
    } catch (error) {
      reconnects.bear(error);
    }
    await reconnects.pause();
  }
}
