/** Limits that several services must agree on. */

/** Largest batch of an evaluation, images. A run asks for no larger one, and the evaluator refuses it. */
export const maxEvaluationBatch = 4096;
