/**
 * How many replicas the work that exists now wants: pure functions, which the scaler answers with and `npm run simulate` drives. What runs counts as
 * well as what waits, so that a worker is never surplus while it works.
 */

/** Work of one project that has not ended, in workers: a run that several workers train together counts that many times. */
export interface ProjectWork {
  readonly project: string;
  readonly waiting: number;
  /** What workers have claimed. */
  readonly owned: number;
}

/** Something that is waiting, or claimed. */
export interface WorkOfProject {
  readonly project: string;
  readonly waits: boolean;
  /** Most workers that may share it; default 1. */
  readonly workers?: number;
}

/** By project, in workers. What is claimed has one for certain; those that may still join it wait, too. */
export function workByProject(work: Iterable<WorkOfProject>): ProjectWork[] {
  const found = new Map<string, { project: string; waiting: number; owned: number }>();
  for (const { project, waits, workers = 1 } of work) {
    const of = found.get(project) ?? { project, waiting: 0, owned: 0 };
    found.set(project, of);
    of.waiting += waits ? workers : workers - 1;
    if (!waits) of.owned++;
  }
  return [...found.values()];
}

/** Number of claims that could be held now. @param limitOf most claims of a project at the same time; undefined: any number */
export function workersWanted(work: Iterable<ProjectWork>, limitOf: (project: string) => number | undefined = () => undefined): number {
  let wanted = 0;
  // A limit that was lowered ends no claim.
  for (const { project, waiting, owned } of work)
    wanted += Math.max(owned, Math.min(waiting + owned, limitOf(project) ?? Number.POSITIVE_INFINITY));
  return wanted;
}

/** What is known about the data service and those that it feeds. */
export interface DataDemand {
  /** Number of runs that wait or are trained. */
  readonly runs: number;
  /** Mean share of their time for which the runs that are trained waited for data lately, 0 to 1. */
  readonly waitShare: number;
  /** Number of replicas that answer. */
  readonly replicas: number;
  /** Calls that wait for their turn, of all replicas together. */
  readonly waitingCalls: number;
}

/** From this share of their time on, waiting slows runs down noticeably. */
const slowShare = 0.1;
/** Up to this share, a replica less is tried. In between, nothing changes. */
const fastShare = 0.05;
/** Number of calls that may wait at each replica; a trainer has 4 batches in flight. */
const callsPerReplica = 8;
/** Largest growth between two answers. */
const growth = 2;

/**
 * Wanted data replicas, in runs: `runsPerReplica` of them want one replica. Nothing is wanted while there is no run and no call. The replicas that exist
 * grow by what would end the waiting, and shrink by a fifth, at least one, while nobody waits, but never below what the number of runs wants.
 */
export function dataWanted({ runs, waitShare, replicas, waitingCalls }: DataDemand, runsPerReplica: number): number {
  if (runs === 0 && waitingCalls === 0) return 0;
  const least = Math.max(runs, 1);
  const now = replicas * runsPerReplica;
  const crowded = replicas === 0 ? 0 : waitingCalls / (callsPerReplica * replicas);
  const factor = Math.min(growth, Math.max(waitShare > slowShare ? 1 / (1 - Math.min(waitShare, 0.99)) : 0, crowded));
  if (factor > 1) return Math.max(least, now * factor);
  if (waitShare > fastShare || crowded > 0.5) return Math.max(least, now);
  return Math.max(least, Math.min(now - runsPerReplica, (now * 4) / 5));
}
