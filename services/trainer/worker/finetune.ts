/** Starts a run from the weights of another checkpoint. */
import type { Program } from '#engine/index.js';
import { importWeights } from '#interchange/import-weights.js';
import { type Mismatch, MismatchError } from '#interchange/mismatch-error.js';
import type { WeightEntry, WeightFile } from '#interchange/weight-file.js';
import { gridSide, resamplePositions } from '#nn/position-embedding.js';
import type { LoadedCheckpoint } from '#storage/checkpoint.js';
import type { Tensor } from '#storage/tensor.js';

/** The checkpoint has another architecture. `mismatches` and the table in the message have every parameter that differs. */
export class FinetuneMismatch extends Error {
  override readonly name = 'FinetuneMismatch';
  readonly mismatches: readonly Mismatch[];
  constructor(
    readonly checkpoint: string,
    override readonly cause: MismatchError,
  ) {
    super(`cannot finetune from ${checkpoint}: ${cause.message}`);
    this.mismatches = cause.mismatches;
  }
}

/**
 * Writes a checkpoint's weights over an initialised program's, moving average included. A head of another shape keeps its initialisation;
 * a ViT's position embedding for another input size is resampled.
 * @returns what was not taken as it is, for a person
 * @throws FinetuneMismatch for anything else that differs; the program is then as it was
 */
export async function finetuneFrom(program: Program, name: string, { tensors }: LoadedCheckpoint): Promise<readonly string[]> {
  const resampled: string[] = [];
  const entries = (tensors.weights ?? []).map((tensor): WeightEntry => {
    const wanted = program.parameters.find((parameter) => parameter.name === tensor.name);
    const fitting = wanted === undefined ? undefined : resampledFor(tensor, wanted.shape);
    if (fitting !== undefined) resampled.push(`${tensor.name}: resampled from [${tensor.shape}] to [${fitting.shape}]`);
    const { name, dtype, shape, data } = fitting ?? tensor;
    return { name, dtype, shape, read: async () => data };
  });
  const file: WeightFile = { format: 'safetensors', keys: [], entries, notices: resampled };
  const expected = program.parameters.map((parameter) => ({ name: parameter.name, shape: parameter.shape }));
  const imported = await importWeights(file, { expected, dropHead: true }).catch((error) => {
    throw error instanceof MismatchError ? new FinetuneMismatch(name, error) : error;
  });
  for (const { name, data } of imported.tensors) {
    await program.write('weights', name, data as Float32Array);
    await program.write('ema', name, data as Float32Array);
  }
  return imported.notices;
}

/** Resamples a position embedding of equal width to the grid of the model; undefined for other tensors and if it fits already. */
function resampledFor({ name, dtype, shape, data }: Tensor, wanted: readonly number[]): Tensor | undefined {
  const [from, to] = [gridSide(shape), gridSide(wanted)];
  if (name !== 'pos_embed' || dtype !== 'F32' || from === undefined || to === undefined) return undefined;
  if (from === to || shape[2] !== wanted[2]) return undefined;
  return { name, dtype, shape: wanted, data: resamplePositions(data as Float32Array, shape, to) };
}
