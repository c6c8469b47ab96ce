/** EvaluatorService: each handler validates, calls, answers. */

import { FailedPrecondition, Violations } from '#errors/errors.js';
import { checkName, parseName } from '#errors/resource-names.js';
import { type Evaluation, EvaluationState, type EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import { type HandlersOf, unary, watchStream } from '#rpc/handlers.js';
import { checkPage, nextPageToken } from '#rpc/pagination.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { EvaluationEvent } from '../evaluation/evaluation-state.js';
import { prepareEvaluation } from './create-evaluation.js';
import type { Evaluations } from './evaluations.js';

const pageLimits = { defaultSize: 100, maxSize: 1000 };

export function evaluatorHandlers(store: ObjectStore, evaluations: Evaluations): HandlersOf<typeof EvaluatorServiceService> {
  return {
    createEvaluation: unary(async (request, { signal }) => ({
      evaluation: await evaluations.create(await prepareEvaluation(request, store, signal), signal),
    })),

    getEvaluation: unary(async (request, { signal }) => {
      const { project, evaluation } = parseName('evaluation', request.name);
      return { evaluation: (await evaluations.get(project, evaluation, signal)).evaluation };
    }),

    listEvaluations: unary(async (request, { signal }) => {
      const violations = new Violations();
      const project = checkName(violations, 'project', request.parent, 'parent')?.project;
      const binding = `ListEvaluations ${request.parent}`;
      const page = checkPage(violations, request, binding, pageLimits);
      violations.throwIfAny();
      if (project === undefined || page === undefined) throw new Error('unreachable');
      // One more than asked tells whether there is a next page.
      const found = await evaluations.list(project, page.after, page.size + 1, signal);
      const shown = found.slice(0, page.size);
      const last = shown.at(-1);
      return {
        evaluations: shown,
        nextPageToken: last && found.length > shown.length ? nextPageToken(last.name.split('/')[3]!, binding) : '',
      };
    }),

    cancelEvaluation: unary(async (request, { signal }) => {
      const { project, evaluation } = parseName('evaluation', request.name);
      return { evaluation: await evaluations.change(project, evaluation, cancel, signal) };
    }),

    watchEvaluation: watchStream(async function* (request, { signal }) {
      const { project, evaluation } = parseName('evaluation', request.name);
      for await (const now of evaluations.watch(project, evaluation, signal)) yield { evaluation: now };
    }),
  };
}

function cancel({ name, state }: Evaluation): EvaluationEvent | undefined {
  if (state === EvaluationState.CANCELLED) return undefined;
  if (state === EvaluationState.SUCCEEDED) throw new FailedPrecondition('evaluation', name, 'it has succeeded and cannot be cancelled');
  if (state === EvaluationState.FAILED) throw new FailedPrecondition('evaluation', name, 'it has failed and cannot be cancelled');
  return { kind: 'cancelled' };
}
