/** Follows an evaluation until it ends, and reconnects when the connection breaks. */
import { setTimeout as delay } from 'node:timers/promises';
import { Unavailable } from '#errors/errors.js';
import { type Evaluation, EvaluationState, type EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import type { TypedClient } from '#rpc/client.js';
import type { Context } from '../context.js';

export type EvaluatorClient = TypedClient<(typeof EvaluatorServiceClient)['service']>;

/** Without a connection for so long, it gives up. */
const patienceMs = 60_000;
const pauseMs = 500;

/** Yields the evaluation now and after every change, until it has ended. @throws Unavailable after a minute without a connection */
export async function* evaluationUpdates(
  client: EvaluatorClient,
  name: string,
  { terminal, signal }: Pick<Context, 'terminal' | 'signal'>,
): AsyncGenerator<Evaluation, void, void> {
  let lostAt: number | undefined;
  for (;;) {
    try {
      for await (const { evaluation } of client.watchEvaluation({ name }, { signal })) {
        lostAt = undefined;
        if (evaluation === undefined) continue;
        yield evaluation;
        if (evaluation.state >= EvaluationState.SUCCEEDED) return;
      }
    } catch (error) {
      if (!(error instanceof Unavailable)) throw error;
      if (lostAt === undefined) terminal.err(`the evaluator does not answer, trying again: ${error.message}`);
      lostAt ??= performance.now();
      if (performance.now() - lostAt > patienceMs) throw error;
    }
    await delay(pauseMs, undefined, { signal });
  }
}
