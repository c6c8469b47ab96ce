/** What a caller of the scaler wants to scale: the metadata of its ScaledObject or ScaledJob, checked. */
import { Violations } from '#errors/errors.js';
import type { ScaledObjectRef } from '#protocol/externalscaler/externalscaler.js';

/** Parts that can be scaled, with the name of the metric of each, and how much of it one replica takes unless the metadata says so. */
export const scaledParts = {
  'trainer-worker': { metric: 'dropstream-trainer-workers', targetPerReplica: 1 },
  'evaluator-worker': { metric: 'dropstream-evaluator-workers', targetPerReplica: 1 },
  data: { metric: 'dropstream-data-replicas', targetPerReplica: 4 },
  /** What one data replica knows, by which the trainer judges the whole data service. */
  'data-calls': { metric: 'dropstream-data-waiting-calls', targetPerReplica: 1 },
} as const;
export type ScaledPart = keyof typeof scaledParts;

export interface Scaled {
  readonly part: ScaledPart;
  readonly metric: string;
  /** How much of the metric one replica takes: claims of a worker (its --workers), runs that a data replica feeds. */
  readonly targetPerReplica: number;
  /** The metric never wants more replicas than this. */
  readonly maxReplicas: number;
}

const mostReplicas = 100_000;
const mostPerReplica = 10_000;
/** What KEDA itself reads from the metadata of a trigger and sends on. */
const ofKeda = new Set(['scalerAddress', 'enableTLS', 'unsafeSsl']);
const own = ['part', 'targetPerReplica', 'maxReplicas'];

/** @throws InvalidArgument, with everything that is wrong */
export function parseScaled(ref: ScaledObjectRef | undefined): Scaled {
  const { part = '', targetPerReplica, maxReplicas, ...others } = ref?.scalerMetadata ?? {};
  const violations = new Violations();
  const isPart = Object.hasOwn(scaledParts, part);
  if (!isPart) violations.add('scalerMetadata.part', part, `one of ${Object.keys(scaledParts).join(', ')}`);
  const integer = (name: string, text: string | undefined, most: number, otherwise: number): number => {
    if (text === undefined) return otherwise;
    const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
    if (value < 1 || value > most) violations.add(`scalerMetadata.${name}`, text, `a whole number from 1 to ${most}`);
    return value;
  };
  const known = isPart ? scaledParts[part as ScaledPart] : scaledParts.data;
  const scaled = {
    part: part as ScaledPart,
    metric: known.metric,
    targetPerReplica: integer('targetPerReplica', targetPerReplica, mostPerReplica, known.targetPerReplica),
    maxReplicas: integer('maxReplicas', maxReplicas, mostReplicas, mostReplicas),
  };
  // A misspelt key would be a limit that nobody keeps.
  for (const key of Object.keys(others))
    if (!ofKeda.has(key)) violations.add('scalerMetadata', key, `only the keys ${own.join(', ')} and those of KEDA`);
  violations.throwIfAny();
  return scaled;
}
