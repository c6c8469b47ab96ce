/** What is done to a group of workers, one after the other: a pure function of the seed, so that a storm can be raised again. */
import { philoxBlock } from '#random/philox.js';

/** Every kind comes once before any comes again. `leave`: SIGTERM. `cut`: its network, for longer than the others are patient. */
export const groupFaults = [
  'join',
  'kill-member',
  'kill-leader',
  'freeze-member',
  'freeze-leader',
  'cut-member',
  'cut-leader',
  'leave',
  'kill-two',
  'join-two',
] as const;

export type GroupFaultKind = (typeof groupFaults)[number];

export interface GroupFault {
  readonly kind: GroupFaultKind;
  /** From 0 to 1: which of the members. */
  readonly target: number;
  /** Steps after the fault before. */
  readonly afterSteps: number;
}

const PURPOSE = 0x6709;
/** Steps between two faults, at least and at most. */
const [fewest, most] = [3, 12];

/** @param canCut without namespaces of the network, nothing is cut */
export function groupPlan(seed: number, count: number, canCut: boolean): GroupFault[] {
  const kinds = groupFaults.filter((kind) => canCut || !kind.startsWith('cut'));
  const words = new Uint32Array(4);
  const faults: GroupFault[] = [];
  let bag: GroupFaultKind[] = [];
  while (faults.length < count) {
    philoxBlock(words, { k0: seed, k1: PURPOSE }, faults.length, 0, 0, 0);
    const [pick = 0, target = 0, gap = 0] = [...words].map((word) => word / 2 ** 32);
    if (bag.length === 0) bag = [...kinds];
    const [kind] = bag.splice(Math.floor(pick * bag.length), 1);
    faults.push({ kind: kind!, target, afterSteps: fewest + Math.floor(gap * (most - fewest + 1)) });
  }
  return faults;
}
