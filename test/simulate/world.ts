/** What a simulation takes as given: the nodes, how long things take, and what goes wrong. Times are in seconds. */
import { trainerOptions } from '../../services/trainer/config.js';

export interface NodeKind {
  readonly name: string;
  /** Number of workers that fit. */
  readonly slots: number;
  /** Work per second of each worker, in seconds of a node of speed 1. */
  readonly speed: number;
  readonly pricePerHour: number;
  /** From asking for a node until it takes pods. */
  readonly startSeconds: number;
  /** Mean time after which the provider takes a node away without warning; Infinity: never. */
  readonly meanLifeSeconds: number;
  readonly maxNodes: number;
}

export interface World {
  readonly seed: bigint;
  /** In the order in which the cluster prefers them. */
  readonly kinds: readonly NodeKind[];
  readonly maxWorkers: number;
  /** A node that is empty for so long is given back, as by the cluster autoscaler. */
  readonly emptyNodeSeconds: number;
  /** The first worker on a node pulls the image. */
  readonly pullSeconds: number;
  /** From exec until a worker looks for work. */
  readonly workerStartSeconds: number;
  /** From the claim until the first step: loading the checkpoint, compiling, the first batch. */
  readonly attemptStartSeconds: number;
  /** From SIGTERM until a worker that has work has written its checkpoint and given its run back. */
  readonly releaseSeconds: number;
  /** Mean time between evictions of a worker, for example by upgrades of nodes. They leave time for a checkpoint. */
  readonly meanEvictionSeconds: number;
  readonly checkpointSeconds: number;
  /** Of the workers, from their defaults. */
  readonly pollSeconds: number;
  readonly leaseSeconds: number;
}

const defaultOf = (option: { readonly schema: { parse(value: unknown): unknown } }): number => Number(option.schema.parse(undefined));

export const defaultWorld: World = {
  seed: 1n,
  kinds: [
    { name: 'spot', slots: 4, speed: 1, pricePerHour: 0.14, startSeconds: 75, meanLifeSeconds: 6 * 3600, maxNodes: 60 },
    {
      name: 'on demand',
      slots: 4,
      speed: 1,
      pricePerHour: 0.4,
      startSeconds: 75,
      meanLifeSeconds: Number.POSITIVE_INFINITY,
      maxNodes: 1000,
    },
  ],
  maxWorkers: 400,
  emptyNodeSeconds: 600,
  pullSeconds: 20,
  workerStartSeconds: 2,
  attemptStartSeconds: 3,
  releaseSeconds: 10,
  meanEvictionSeconds: 48 * 3600,
  checkpointSeconds: 300,
  pollSeconds: defaultOf(trainerOptions.pollMs) / 1000,
  leaseSeconds: defaultOf(trainerOptions.leaseTtlMs) / 1000,
};
