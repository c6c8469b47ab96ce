/** Compiles a model with given shapes to a program on a chosen executor. */
import { setImmediate } from 'node:timers/promises';
import { inTurns } from '#bounds/pieces.js';
import { chunkSamples } from '#graph/plan.js';
import { traceInPieces } from '#graph/trace.js';
import type { Model } from '#nn/model.js';
import { modelConfig } from '#nn/models/registry.js';
import { executorNamed } from './choose.js';
import { type ExecutorName, lacks } from './engines.js';
import type { HeldBySteps } from './executor.js';
import type { Fingerprint } from './fingerprint.js';
import { type Precision, precisions } from './precision.js';
import { Program } from './program.js';

export interface CompileShapes {
  /** Side of the square RGB images in pixels. */
  imageSize: number;
  classes: number;
  /** Samples of the largest micro-batch; bounds the chunks and the memory. Smaller micro-batches are allowed. */
  batch: number;
}

export interface CompileOptions {
  /** Default native. */
  executor?: ExecutorName;
  /**
   * Default fp32. bf16 (native and webgpu) is mixed precision: matrix products and their operands are bf16; the residual stream, weights, optimizer,
   * sums of norms and losses stay fp32. f16 (webgpu, on a GPU with `shader-f16`) is the same with binary16; steps then need a `gradientScale`.
   */
  precision?: Precision;
  /** Saves memory at the cost of a second forward pass (native only): keeps only the input of each block. Does not change bits. Default false. */
  checkpointBlocks?: boolean;
  /** The program is only evaluated and never takes a step; on native, it then needs a fraction of the memory. Does not change bits. Default false. */
  evaluateOnly?: boolean;
  /** What steps will hold besides the program, so that a device with little memory keeps some for it (webgpu). Default: no images, and one leaf. */
  held?: HeldBySteps;
  /**
   * The fingerprint of a program, as checkpoints store it, whose bits are to be continued. What this machine may choose (on webgpu: the tiles of
   * products) is then as it was in that program, if it ran on the same device.
   */
  like?: string | undefined;
}

const CHANNELS = 3;

/**
 * Compiles a model, given as an object or by its name in the registry. Parameters are zero until `initialize`, `write` or `importState`. Throws
 * UnknownModel, UnknownExecutor, ExecutorUnavailable, or RangeError for shapes and for options that the executor does not support.
 */
export async function compile(model: Model | string, shapes: CompileShapes, options: CompileOptions = {}): Promise<Program> {
  return (await planProgram(model, shapes, options)).create();
}

/** A program whose planning is done. */
export interface PlannedProgram {
  /** That of the program. */
  readonly fingerprint: Fingerprint;
  /** Allocates the program's memory. */
  create(): Promise<Program>;
}

/**
 * Does everything but allocate the program's memory, and throws the same errors as compile. Tracing and lowering run in turns with the event loop: a
 * large model takes 0.1 s or more.
 */
export async function planProgram(model: Model | string, shapes: CompileShapes, options: CompileOptions = {}): Promise<PlannedProgram> {
  const { imageSize, classes, batch } = shapes;
  const { executor: name = 'native', precision = 'fp32', checkpointBlocks = false, evaluateOnly = false } = options;
  const { held = { batches: 0, leaves: 1 }, like } = options;
  if (!Number.isInteger(batch) || batch < 1) throw new RangeError(`batch: ${batch} is not a positive integer`);
  if (!precisions.includes(precision)) {
    throw new RangeError(`precision: ${JSON.stringify(precision)} is not allowed; allowed: ${precisions.join(', ')}`);
  }
  const executor = executorNamed(name);
  const [lack] = lacks(name, { precision, checkpointBlocks });
  if (lack) throw new RangeError(`${lack.field}: ${lack.value} is not allowed on executor ${name}; allowed: ${lack.allowed}`);
  const built = typeof model === 'string' ? modelConfig(model, { imageSize, classes }) : model;
  const graph = await inTurns(traceInPieces(built, { channels: CHANNELS, imageSize, classes }));
  const samples = chunkSamples(graph, batch);
  await setImmediate();
  const prepared = await executor.prepare(graph, samples, {
    ...{ precision, checkpointBlocks, evaluateOnly },
    held: { ...held, samples: batch },
    like,
  });
  const fingerprint = { ...prepared.fingerprint, precision };
  return {
    fingerprint,
    create: async () => {
      await setImmediate();
      return new Program(graph, await prepared.create(), fingerprint, prepared.samples ?? samples, !evaluateOnly, prepared.gpu);
    },
  };
}
