/**
 * The loss of a finished run on its own training images, without dropout, augmentation, mixing and label smoothing: an evaluation of its last checkpoint, whose
 * id follows from run and checkpoint. Whoever asks for it again means the same evaluation, so nothing has to be stored about it.
 */
import { createHash } from 'node:crypto';
import type { EvaluatorClient } from '#client/evaluation-states.js';
import { NotFound } from '#errors/errors.js';
import { type Evaluation, EvaluationSpec, EvaluationState } from '#protocol/dropstream/v1/evaluator.js';
import { type Run, RunState } from '#protocol/dropstream/v1/trainer.js';

export interface EvaluationPlace {
  readonly client: EvaluatorClient;
  /** projects/{project}. */
  readonly parent: string;
  readonly call: { readonly timeoutMs: number; readonly signal: AbortSignal };
}

/** Whether a run has a last checkpoint to evaluate. One that saves none has not. */
export const canBeEvaluated = ({ state, latestCheckpoint }: Run): boolean => state === RunState.SUCCEEDED && latestCheckpoint !== '';

const idOf = ({ uid, latestCheckpoint }: Run): string =>
  `final-${createHash('sha256').update(`${uid} ${latestCheckpoint}`).digest('hex').slice(0, 40)}`;

/** Asks for the evaluation of a run, or finds the one that was asked for before. One that failed or was cancelled is made again. */
export async function askForFinal(run: Run, place: EvaluationPlace): Promise<Evaluation> {
  const { client, call } = place;
  const known = await createFinal(run, place);
  if (known.state !== EvaluationState.FAILED && known.state !== EvaluationState.CANCELLED) return known;
  await client.deleteEvaluation({ name: known.name, etag: known.etag }, call);
  return await createFinal(run, place);
}

async function createFinal(run: Run, { client, parent, call }: EvaluationPlace): Promise<Evaluation> {
  const { trainManifest = '', holdoutStride = 0, holdoutOffset = 0 } = run.spec ?? {};
  const id = idOf(run);
  const spec = EvaluationSpec.fromPartial({
    checkpoint: run.latestCheckpoint,
    manifest: trainManifest,
    ema: false,
    ...(holdoutStride > 0 && { subsetStride: holdoutStride, subsetOffset: holdoutOffset, subsetInvert: true }),
  });
  return (await client.createEvaluation({ parent, evaluationId: id, requestId: id, spec }, { ...call, idempotent: true })).evaluation!;
}

/** The loss of a run, if its evaluation has succeeded. @throws Unavailable and others */
export async function finalLossOf(run: Run, { client, parent, call }: EvaluationPlace): Promise<number | undefined> {
  if (!canBeEvaluated(run)) return undefined;
  try {
    const { evaluation } = await client.getEvaluation({ name: `${parent}/evaluations/${idOf(run)}` }, call);
    return evaluation?.result?.step === run.totalSteps ? evaluation.result.weights?.loss : undefined;
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
}
