/** Turns the processes of the reference into gradient accumulation: N processes become N times as many micro-batches of one worker. */
import type { Violations } from '#errors/errors.js';

/** The total batch size and learning rate of the paper's recipe, which belong together. */
const RECIPE = { totalBatch: 4096, lr: 4e-3 } as const;

export interface Processes {
  readonly world?: number | undefined;
  /** The reference's name of `world`, which its launcher sets. */
  readonly world_size?: number | undefined;
  /** Number of machines, and of processes on each, in the reference's cluster launcher. */
  readonly nodes?: number | undefined;
  readonly ngpus?: number | undefined;
}

/** The number of processes that the options ask for, 1 by default. Contradictions and numbers out of range become violations. */
export function processCount(violations: Violations, { world, world_size, nodes, ngpus }: Processes): number {
  let sound = true;
  for (const [name, value] of Object.entries({ world, world_size, nodes, ngpus })) {
    sound = violations.check(value === undefined || (value >= 1 && value <= 65_536), name, value, 'a number from 1 to 65536') && sound;
  }
  if ((nodes === undefined) !== (ngpus === undefined)) {
    const [given, missing] = nodes === undefined ? (['ngpus', 'nodes'] as const) : (['nodes', 'ngpus'] as const);
    violations.add(given, nodes ?? ngpus, `given together with --${missing}, or replaced by --world`);
    return 1;
  }
  const launched = nodes === undefined || ngpus === undefined ? undefined : nodes * ngpus;
  const count = world ?? launched ?? world_size ?? 1;
  if (!sound) return 1;
  if (launched !== undefined)
    violations.check(launched === count, 'nodes', nodes, `left out, or such that nodes · ngpus equals world, which is ${count}`);
  // The reference's launcher overrides its default of 1.
  if (world_size !== undefined && world_size !== 1)
    violations.check(world_size === count, 'world_size', world_size, `left out, or equal to world, which is ${count}`);
  return count;
}

export interface Batch {
  /** Images in a micro-batch: the batch of one process of the reference, within which images are mixed. */
  readonly batchSize: number;
  /** Micro-batches that each process accumulates. */
  readonly updateFreq: number;
  readonly world: number;
  readonly lr: number;
}

/** Images in an optimizer step. */
export const totalBatch = ({ batchSize, updateFreq, world }: Omit<Batch, 'lr'>): number => batchSize * updateFreq * world;

/** A warning if the learning rate is the recipe's and the total batch is not; otherwise undefined. */
export function batchWarning(batch: Batch): string | undefined {
  const total = totalBatch(batch);
  if (batch.lr !== RECIPE.lr || total === RECIPE.totalBatch) return undefined;
  const { batchSize, updateFreq, world } = batch;
  return (
    `warning: the total batch is ${total} (batch_size ${batchSize} · update_freq ${updateFreq} · world ${world}), ` +
    `but lr ${RECIPE.lr} is meant for ${RECIPE.totalBatch} and is not scaled automatically: raise --update_freq or --world, or set another --lr`
  );
}
