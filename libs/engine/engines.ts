/**
 * The engines by the names that users give, and what each of them can do. Used to check specs, to compile programs and to list executors.
 */
import type { Family } from '#nn/models/registry.js';
import type { Precision } from './precision.js';

/** native: the C++ addon. webgpu: the GPU. tfjs: TensorFlow.js on the best installed backend; -cpu and -tensorflow choose one. */
export const executorNames = ['native', 'webgpu', 'tfjs', 'tfjs-cpu', 'tfjs-tensorflow'] as const;
export type ExecutorName = (typeof executorNames)[number];

/** What an executor can do. */
export interface Abilities {
  readonly precisions: readonly Precision[];
  readonly families: readonly Family[];
  /** Can compute blocks again in the backward pass instead of storing their activations (checkpoint_blocks). */
  readonly recomputation: boolean;
}

const everyFamily: readonly Family[] = ['vit', 'mixer', 'swin', 'convnext'];
const tfjs: Abilities = { precisions: ['fp32'], families: everyFamily, recomputation: false };

const abilities: Readonly<Record<ExecutorName, Abilities>> = {
  native: { precisions: ['fp32', 'bf16'], families: everyFamily, recomputation: true },
  webgpu: { precisions: ['fp32', 'bf16', 'f16'], families: everyFamily, recomputation: true },
  tfjs,
  'tfjs-cpu': tfjs,
  'tfjs-tensorflow': tfjs,
};

/** The executor of each engine that a spec can name. A run chooses its backend, so that its numbers do not depend on what is installed. */
const executors = { native: 'native', webgpu: 'webgpu', tfjs: 'tfjs-cpu', tensorflow: 'tfjs-tensorflow' } as const satisfies Record<
  string,
  ExecutorName
>;

export type EngineName = keyof typeof executors;

/** What a spec can ask for: an engine, or `auto`, for which whoever begins the work chooses one (automatic.ts). */
export type EngineWord = EngineName | 'auto';

export class UnknownExecutor extends Error {
  override readonly name = 'UnknownExecutor';
  constructor(
    readonly field: 'executor' | 'engine',
    readonly value: string,
    allowed: readonly string[],
  ) {
    super(`${field}: ${JSON.stringify(value)} is not allowed; allowed: ${allowed.join(', ')}`);
  }
}

/** @throws UnknownExecutor */
export function executorOf(engine: EngineName): ExecutorName {
  if (!Object.hasOwn(executors, engine)) throw new UnknownExecutor('engine', engine, Object.keys(executors));
  return executors[engine];
}

/** The executor whose abilities a spec may rely on. `auto` relies on those of the native one, which it falls back on. @throws UnknownExecutor */
export function executorAsked(engine: EngineWord): ExecutorName {
  return engine === 'auto' ? 'native' : executorOf(engine);
}

/** @throws UnknownExecutor */
export function abilitiesOf(executor: ExecutorName): Abilities {
  if (!Object.hasOwn(abilities, executor)) throw new UnknownExecutor('executor', executor, executorNames);
  return abilities[executor];
}

/** The first requirement that an executor does not meet; undefined if it meets all. `allowed` completes "must be". */
export function lacks(
  executor: ExecutorName,
  asked: {
    readonly precision: Precision;
    readonly checkpointBlocks: boolean;
    readonly model?: { readonly name: string; readonly family: Family } | undefined;
  },
): { readonly field: 'precision' | 'checkpoint_blocks' | 'model'; readonly value: string; readonly allowed: string }[] {
  const { precisions, families, recomputation } = abilitiesOf(executor);
  const { precision, checkpointBlocks, model } = asked;
  return [
    ...(precisions.includes(precision) ? [] : [{ field: 'precision', value: precision, allowed: precisions.join(' or ') } as const]),
    ...(recomputation || !checkpointBlocks ? [] : [{ field: 'checkpoint_blocks', value: 'true', allowed: 'false' } as const]),
    ...(model === undefined || families.includes(model.family)
      ? []
      : [{ field: 'model', value: model.name, allowed: `a model of ${families.join(', ')}` } as const]),
  ];
}
