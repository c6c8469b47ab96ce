/** What each project may use at most, and its share of the workers, as pure functions; quota-file.ts reads them and quotas.ts keeps them up to date. */
import { ResourceExhausted } from '#errors/errors.js';

/** Absent: no limit. */
export interface ProjectQuotas {
  /** Runs that are stored. */
  readonly runs?: number | undefined;
  /** Runs that wait for a worker; evaluations are counted apart. */
  readonly queued?: number | undefined;
  /** Runs that workers train at the same time; evaluations are counted apart. */
  readonly workers?: number | undefined;
  /** Bytes of the checkpoints of its runs. */
  readonly checkpoint_bytes?: number | undefined;
  /** Streams (watches and batches) that one process of a service serves at the same time. */
  readonly streams?: number | undefined;
  /** Share of the workers beside those of other projects; default 1. */
  readonly weight?: number | undefined;
}

/** null: no limit for this project. Absent: the default. */
export type StatedQuotas = { readonly [Q in keyof ProjectQuotas]?: number | null | undefined };

export interface QuotaRules {
  readonly default: StatedQuotas;
  readonly projects: ReadonlyMap<string, StatedQuotas>;
}

export const noQuotas: QuotaRules = { default: {}, projects: new Map() };

/** The quotas that make calls fail. More runs than `workers` wait for their turn instead. */
const refusing = {
  runs: { unit: 'stored runs', remedy: 'delete runs that are not needed any more' },
  queued: { unit: 'runs, or evaluations, that wait for a worker', remedy: 'wait until some have started, or cancel some' },
  checkpoint_bytes: {
    unit: 'bytes of checkpoints',
    remedy: 'delete runs that are not needed any more, or keep fewer checkpoints of each (save_ckpt_num)',
  },
  streams: { unit: 'streams at the same time in one process of a service', remedy: 'end streams that are not needed' },
} as const;

export type RefusingQuota = keyof typeof refusing;

export function quotasOf({ default: general, projects }: QuotaRules, project: string): ProjectQuotas {
  const own = projects.get(project) ?? {};
  const stated = { ...general, ...Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined)) };
  return Object.fromEntries(Object.entries(stated).filter(([, value]) => typeof value === 'number'));
}

export const weightOf = (rules: QuotaRules, project: string): number => quotasOf(rules, project).weight ?? 1;

export interface QuotaUse {
  readonly project: string;
  readonly quota: RefusingQuota;
  readonly limit: number | undefined;
  /** Before what is asked for. */
  readonly used: number;
  /** If waiting alone helps soon. */
  readonly retryAfterMs?: number | undefined;
}

/** @throws ResourceExhausted unless one more fits */
export function checkQuota({ project, quota, limit, used, retryAfterMs }: QuotaUse): void {
  if (limit === undefined || used < limit) return;
  const { unit, remedy } = refusing[quota];
  const what = `the quota "${quota}" of project ${project}`;
  const told = `${limit} ${unit}, and ${used} are in use: ${remedy}, or ask the operator of the service for a larger quota`;
  throw new ResourceExhausted(what, told, { retryAfterMs });
}
