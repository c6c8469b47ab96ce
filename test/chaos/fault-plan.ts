/** Which faults happen when: a pure function of the seed, so that a storm can be raised again. */
import { philoxBlock } from '#random/philox.js';

/** What is done to the system. Every kind comes once before any comes again. */
export const faultKinds = [
  'kill-worker',
  'kill-data',
  'kill-api',
  'kill-evaluator',
  'kill-scheduler',
  'freeze-worker',
  'freeze-evaluator',
  'cut-store',
  'cut-data',
  'cut-evaluator',
  'slow-store',
  'reset-store',
  'truncate-bodies',
  'refuse-503',
  'fill-disk',
  'recreate-run',
  'change-schedule',
  'damage-checkpoint',
  'damage-log',
  'kill-unsaved',
  'damage-unevaluated',
  'freeze-data',
  'silence',
] as const;

export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  /** Milliseconds after the start of the storm. */
  readonly atMs: number;
  readonly kind: FaultKind;
  /** From 0 to 1: chooses among whatever there is to be hit. */
  readonly target: number;
  /** From 0 to 1: chooses an amount, such as bytes or milliseconds, within the kind's range. */
  readonly amount: number;
  /** How long it lasts, if it lasts. */
  readonly durationMs: number;
}

const GAP_MS = [2500, 5500] as const;
const DURATION_MS = [800, 3500] as const;
const PURPOSE = 0xc4a05;

const between = ([from, to]: readonly [number, number], share: number): number => Math.round(from + (to - from) * share);

/** All faults before `endMs`, in order. */
export function faultPlan(seed: number, endMs: number, kinds: readonly FaultKind[] = faultKinds): Fault[] {
  const words = new Uint32Array(4);
  const shares = (index: number, use: number): number[] => {
    philoxBlock(words, { k0: seed, k1: PURPOSE }, index, use, 0, 0);
    return [...words].map((word) => word / 2 ** 32);
  };
  const faults: Fault[] = [];
  let bag: FaultKind[] = [];
  let atMs = 0;
  for (let index = 0; ; index++) {
    const [gap = 0, pick = 0, target = 0, amount = 0] = shares(index, 0);
    atMs += between(GAP_MS, gap);
    if (atMs >= endMs) return faults;
    if (bag.length === 0) bag = [...kinds];
    const [kind] = bag.splice(Math.floor(pick * bag.length), 1);
    faults.push({ atMs, kind: kind!, target, amount, durationMs: between(DURATION_MS, shares(index, 1)[0]!) });
  }
}
