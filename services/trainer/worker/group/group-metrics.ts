/** Metrics of groups of workers, of the worker that leads and of those that help. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/** A step has no more leaves. */
const mostMembers = 16;

export type GroupMetrics = ReturnType<typeof createGroupMetrics>;

export function createGroupMetrics(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string) => new Counter({ name: `dropstream_trainer_group_${name}_total`, help, registers });
  const members = new Gauge({
    name: 'dropstream_run_group_members',
    help: 'Number of workers that compute the run, the one that leads included. Runs that take one worker only have no series.',
    labelNames: ['project', 'run'],
    registers,
  });
  const leaves = new Gauge({
    name: 'dropstream_run_group_leaves',
    help: 'Number of leaves of every step that a worker of the run usually computes, by its rank.',
    labelNames: ['project', 'run', 'rank'],
    registers,
  });
  return {
    /** A run is computed by so many workers from now on; `homes`: the leaves of each, by rank. */
    formed({ project, run }: { readonly project: string; readonly run: string }, homes: readonly (readonly number[])[]): void {
      members.set({ project, run }, homes.length);
      for (let rank = 0; rank < mostMembers; rank++) {
        const labels = { project, run, rank: String(rank) };
        const home = homes[rank];
        if (home === undefined) leaves.remove(labels);
        else leaves.set(labels, home.length);
      }
    },
    exchange: new Histogram({
      name: 'dropstream_trainer_group_exchange_seconds',
      help: 'Seconds that the workers of a run took to add the gradients of a step.',
      buckets: [0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
      registers,
    }),
    joined: counter('joins', 'Number of times that this worker has joined a run of another one.'),
    generations: counter('generations', 'Number of times that the workers of a run which this process leads have connected anew.'),
    lost: counter('members_lost', 'Number of workers that were lost to the runs that this process leads.'),
    recomputed: counter(
      'leaves_recomputed',
      'Number of leaves that were computed again because the worker that had computed them was lost.',
    ),
    diverged: counter(
      'members_diverged',
      'Number of workers whose weights or gradients differed from those of the others: members that were expelled, and leaders that ended their attempts.',
    ),
  };
}
