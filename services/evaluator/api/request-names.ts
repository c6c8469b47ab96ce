/** Declares which fields of the evaluator's requests hold resource names. */
import type { EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import type { RequestNames } from '#rpc/request-names.js';

// A manifest is named by its SHA-256; that of a project which has not indexed it does not exist for it.
const spec = { checkpoint: 'checkpoint', manifest: 'text' } as const;

export const evaluatorNames = {
  createEvaluation: { parent: 'project', evaluationId: 'text', spec, requestId: 'text' },
  getEvaluation: { name: 'evaluation' },
  listEvaluations: { parent: 'project', pageToken: 'text' },
  cancelEvaluation: { name: 'evaluation' },
  deleteEvaluation: { name: 'evaluation', etag: 'text' },
  watchEvaluation: { name: 'evaluation' },
} as const satisfies RequestNames<typeof EvaluatorServiceService>;
