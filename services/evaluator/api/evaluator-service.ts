/** Handlers of EvaluatorService. */

import { FailedPrecondition } from '#errors/errors.js';
import { type Evaluation, EvaluationState, type EvaluatorServiceService, type Scores } from '#protocol/dropstream/v1/evaluator.js';
import { type HandlersOf, unary, watchStream } from '#rpc/handlers.js';
import { parsePage } from '#rpc/pagination.js';
import type { EvaluationEvent } from '../evaluation/evaluation-state.js';
import { type CreateDeps, prepareEvaluation } from './create-evaluation.js';
import type { Evaluations } from './evaluations.js';
import type { evaluatorNames } from './request-names.js';

const pageLimits = { defaultSize: 100, maxSize: 1000 };

export interface EvaluatorParts extends CreateDeps {
  readonly evaluations: Evaluations;
}

export function evaluatorHandlers({
  evaluations,
  ...deps
}: EvaluatorParts): HandlersOf<typeof EvaluatorServiceService, typeof evaluatorNames> {
  return {
    createEvaluation: unary(async (request, { names, signal, identity }) => {
      const prepared = await prepareEvaluation(request, names.parent.project, deps, { signal, identity });
      return { evaluation: await evaluations.create(prepared, signal) };
    }),

    getEvaluation: unary(async (_, { names, signal }) => {
      const { project, evaluation } = names.name;
      return { evaluation: (await evaluations.get(project, evaluation, signal)).evaluation };
    }),

    listEvaluations: unary(async (request, { names, signal }) => {
      const { project } = names.parent;
      const binding = `ListEvaluations ${request.parent}`;
      const page = parsePage(request, binding, pageLimits);
      const { items, unreadable, nextPageToken } = await evaluations.list(project, page, binding, signal);
      return { evaluations: request.omitClassCounts ? items.map(withoutClassCounts) : items, unreadable, nextPageToken };
    }),

    cancelEvaluation: unary(async (_, { names, signal }) => {
      const { project, evaluation } = names.name;
      return { evaluation: await evaluations.cancel(project, evaluation, cancel, signal) };
    }),

    deleteEvaluation: unary(async ({ etag }, { names, signal }) => {
      const { project, evaluation } = names.name;
      await evaluations.delete(project, evaluation, etag, signal);
      return {};
    }),

    watchEvaluation: watchStream(async function* (_, { names, signal }) {
      const { project, evaluation } = names.name;
      for await (const now of evaluations.watch(project, evaluation, signal)) yield { evaluation: now };
    }),
  };
}

/** A copy, because lists share what they hold. */
function withoutClassCounts(evaluation: Evaluation): Evaluation {
  const { result } = evaluation;
  if (result === undefined) return evaluation;
  const bare = (scores: Scores | undefined) => scores && { ...scores, classCorrect: [], classSamples: [] };
  return { ...evaluation, result: { ...result, weights: bare(result.weights), ema: bare(result.ema) } };
}

function cancel({ name, state }: Evaluation): EvaluationEvent | undefined {
  if (state === EvaluationState.CANCELLED) return undefined;
  if (state === EvaluationState.SUCCEEDED) throw new FailedPrecondition('evaluation', name, 'it has succeeded and cannot be cancelled');
  if (state === EvaluationState.FAILED) throw new FailedPrecondition('evaluation', name, 'it has failed and cannot be cancelled');
  return { kind: 'cancelled' };
}
