/** What a storm did, as it is printed, and whether that shows anything. */
import { type FaultKind, faultKinds } from './fault-plan.js';
import type { Counts } from './finished-run.js';
import type { LanesReport } from './lanes.js';
import type { Recovery } from './storm.js';
import type { Recovered } from './watched-run.js';

interface Happened {
  /** Number of faults of each kind. */
  readonly faults: Readonly<Record<string, number>>;
  readonly counts: Counts;
  readonly lanes: LanesReport;
}

/** A storm that had time for every kind of fault and did nothing that a check looks at shows nothing. */
export function unproven({ faults, counts, lanes }: Happened): string[] {
  if (!faultKinds.every((kind) => (faults[kind] ?? 0) > 0)) return [];
  const proofs: Readonly<Record<string, number>> = {
    'was taken over': counts.attempts.further,
    'repeated a step': counts.attempts.repeatedSteps,
    'had an evaluation that failed': counts.evaluations.failures,
    'was deleted and created again': lanes.recreated,
    'lost a record of its log': lanes.checked.damaged ?? 0,
  };
  return Object.entries(proofs).flatMap(([what, times]) => (times > 0 ? [] : [`the storm proves too little: no run ${what}`]));
}

/** By what they followed. */
export function recoveryTimes(recoveries: readonly Recovery[]): object {
  const kinds = [...new Set(recoveries.map(({ after }) => after))];
  const of = (kind: FaultKind): number[] => recoveries.flatMap(({ after, ms }) => (after === kind ? [ms] : [])).sort((a, b) => a - b);
  return Object.fromEntries(
    kinds.map((kind) => {
      const sorted = of(kind);
      return [kind, { count: sorted.length, medianMs: sorted[sorted.length >> 1], longestMs: sorted.at(-1) }];
    }),
  );
}

/** Kills after which it took longer than an operator is promised until the first new step was seen. */
export function late(where: string, recoveries: readonly Recovered[], mostMs: number): string[] {
  return recoveries.flatMap(({ seen }) => (seen > mostMs ? [`${where}, a kill cost ${seen} ms, more than ${mostMs}`] : []));
}
