/** The reference's processes as accumulation: N of them with batch_size images each are N more micro-batches of one worker. */
import type { Violations } from '#errors/errors.js';

/** Total batch that the recipe's learning rate is meant for, and that rate. */
const RECIPE = { totalBatch: 4096, lr: 4e-3 } as const;

export interface Processes {
  readonly world?: number | undefined;
  /** The reference's own spelling; its launcher sets it. */
  readonly world_size?: number | undefined;
  /** Of its cluster launcher: machines, and processes on each. */
  readonly nodes?: number | undefined;
  readonly ngpus?: number | undefined;
}

/** How many processes the command line asks for; 1 where it says nothing. Contradictions and numbers below 1 become violations. */
export function processCount(violations: Violations, { world, world_size, nodes, ngpus }: Processes): number {
  let sound = true;
  for (const [name, value] of Object.entries({ world, world_size, nodes, ngpus })) {
    sound = violations.check(value === undefined || (value >= 1 && value <= 65_536), name, value, 'from 1 to 65536') && sound;
  }
  if ((nodes === undefined) !== (ngpus === undefined)) {
    const [given, missing] = nodes === undefined ? (['ngpus', 'nodes'] as const) : (['nodes', 'ngpus'] as const);
    violations.add(given, nodes ?? ngpus, `given together with ${missing}, or replaced by --world`);
    return 1;
  }
  const launched = nodes === undefined || ngpus === undefined ? undefined : nodes * ngpus;
  const count = world ?? launched ?? world_size ?? 1;
  if (!sound) return 1;
  if (launched !== undefined) violations.check(launched === count, 'nodes', nodes, `absent, or so that nodes · ngpus is ${count} (world)`);
  // The reference's launcher overrides its default of 1.
  if (world_size !== undefined && world_size !== 1)
    violations.check(world_size === count, 'world_size', world_size, `absent or ${count} (world)`);
  return count;
}

export interface Batch {
  /** Images in a micro-batch: what one process of the reference holds, and what is mixed together. */
  readonly batchSize: number;
  /** Micro-batches that a process accumulates. */
  readonly updateFreq: number;
  readonly world: number;
  readonly lr: number;
}

/** Images in an optimizer step. */
export const totalBatch = ({ batchSize, updateFreq, world }: Omit<Batch, 'lr'>): number => batchSize * updateFreq * world;

/** What to say about the learning rate, or undefined where it fits the batch. */
export function batchWarning(batch: Batch): string | undefined {
  const total = totalBatch(batch);
  if (batch.lr !== RECIPE.lr || total === RECIPE.totalBatch) return undefined;
  const { batchSize, updateFreq, world } = batch;
  return (
    `warning: the total batch is ${total} (batch_size ${batchSize} · update_freq ${updateFreq} · world ${world}), ` +
    `but lr ${RECIPE.lr} is for ${RECIPE.totalBatch} and is never scaled: raise --update_freq or --world, or give another --lr`
  );
}
