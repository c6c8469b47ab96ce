/** Situations in which a name, its log and its claim are fought over. */
import assert from 'node:assert/strict';
import { AlreadyExists, FailedPrecondition, NotFound } from '#errors/errors.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { LogDamaged } from '#storage/log-record.js';
import type { ObjectStore } from '#storage/object-store.js';
import { Incarnations } from '#work/incarnations.js';
import { recordLog, runName } from '../../services/trainer/run/run-log.js';
import { type Monitor, type Process, Violation } from './execution.js';
import type { Scenario } from './explore.js';
import { every, linearHistories } from './invariants.js';
import { type Attempted, again, cancel, create, markOf, never, PROJECT, pause, RUN, remove, runsOf, startWorker } from './subject.js';

/** Shorter than a heartbeat, so that a step ends between two of them. */
const STEP_MS = 150;

/** Nobody may hold what another holds: a fence of one training is claimed once. */
function claims(): (letter: string) => (attempt: Attempted) => void {
  const holders = new Map<string, string>();
  return (letter) =>
    ({ mark, fence }) => {
      const claim = `training ${mark}, fence ${fence}`;
      if (holders.has(claim)) throw new Violation(`${letter} works on ${claim}, and so does ${holders.get(claim)}`);
      holders.set(claim, letter);
    };
}

const forEver = new Promise<never>(() => {});

const worker = (letter: string, onAttempt: (attempt: Attempted) => void): Process => ({
  letter,
  run: async (store) => {
    startWorker(store, STEP_MS, onAttempt);
    await forEver;
  },
});

/** Sees one training from its first record on, each number once. */
const watcher = (letter: string): Process => ({
  letter,
  run: async (store) => {
    const runs = runsOf(store);
    await pause(200);
    let mark: number | undefined;
    let last = 0n;
    try {
      const { run } = await runs.get(PROJECT, RUN, never());
      for await (const { sequence, event } of runs.watch({ project: PROJECT, id: RUN, uid: run.uid }, 0, never())) {
        if (sequence !== last + 1n) throw new Violation(`the watch shows record ${sequence} after ${last}`);
        last = sequence;
        if (event?.$case === 'created') mark = Number(event.value.specDigest.slice('mark '.length));
        const others = event?.$case === 'steps' ? event.value.steps.filter(({ loss }) => loss !== mark) : [];
        if (others.length > 0) throw new Violation(`the watch of training ${mark} shows steps of training ${others[0]!.loss}`);
      }
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
    }
  },
});

/** Reads whatever the name stands for; twice, because a second look must not see more or less than the first. */
const reader = (letter: string): Process => ({
  letter,
  run: async (store) => {
    const look = async (): Promise<string> => {
      try {
        const { run, specDigest } = await runsOf(store).get(PROJECT, RUN, never());
        return `${specDigest}: ${run.logSequence}`;
      } catch (error) {
        if (error instanceof NotFound) return 'nothing';
        throw error;
      }
    };
    assert.equal(await look(), await look());
  },
});

/** The name can always be freed and used again, and what it then stands for runs to its end. */
const rebirth = (letter: string): Process => ({
  letter,
  run: async (store) => {
    const runs = runsOf(store);
    await freed(store);
    const view = await create(runs, 9);
    if (markOf(view) !== 9 || view.run.state !== RunState.QUEUED)
      throw new Violation(`the new run is training ${markOf(view)} in state ${view.run.state}`);
    const { stop } = bounded(startWorker(store, STEP_MS, () => {}));
    const end = Date.now() + 20_000;
    for (;;) {
      const { run, specDigest } = await runs.get(PROJECT, RUN, never());
      if (specDigest !== 'mark 9') throw new Violation(`the name stands for ${specDigest} instead of the new run`);
      if (run.state === RunState.SUCCEEDED) break;
      if (Date.now() > end) throw new Violation(`the new run does not end: it is in state ${run.state}`);
      await pause(500);
    }
    await stop();
  },
});

const bounded = (one: { stop(): Promise<void> }): { stop: () => Promise<void> } => ({ stop: () => one.stop() });

async function freed(store: ObjectStore): Promise<void> {
  const runs = runsOf(store);
  try {
    await cancel(runs);
  } catch (error) {
    // A delete that was interrupted may be finished by another one.
    if (!(error instanceof NotFound)) throw error;
  }
  await runs.delete(PROJECT, RUN, '', never()).catch((error) => {
    if (!(error instanceof NotFound)) throw error;
  });
  await runs.get(PROJECT, RUN, never()).then(
    ({ specDigest }) => {
      throw new Violation(`the deleted run is still there: ${specDigest}`);
    },
    (error) => {
      if (!(error instanceof NotFound)) throw error;
    },
  );
}

/**
 * A log with a hole is damage at every look, for everybody who reads its records. What a snapshot stands for may still be told. `lost`: whether there is
 * a hole.
 */
const inspector = (letter: string, lost: () => boolean): Process => ({
  letter,
  run: async (store) => {
    // The process that takes the record away may stop before it does so.
    if (!lost()) return;
    const { uid } = await new Incarnations(store).current('run', runName(PROJECT, RUN));
    for (let look = 1; look <= 3; look++) {
      const seen: number[] = [];
      try {
        for await (const { seq } of recordLog(store, { project: PROJECT, id: RUN, uid }).read()) seen.push(seq);
      } catch (error) {
        if (error instanceof LogDamaged) continue;
        throw error;
      }
      throw new Violation(`look ${look} at a log with a hole gives the records ${seen}`);
    }
  },
});

/** At most so many processes beside the creator: workers first, then a watcher. */
const company = (actors: number): Process[] => {
  const claimedBy = claims();
  return [worker('a', claimedBy('a')), worker('b', claimedBy('b')), watcher('w')].slice(0, actors);
};

/** Cancel, delete and create again, with workers that hold the run. */
const recreate: Scenario = {
  name: 'recreate',
  about: 'a run is cancelled, deleted and created anew while workers hold it',
  horizonMs: 1100,
  open: (actors) => {
    const creator: Process = {
      letter: 'c',
      run: async (store) => {
        const runs = runsOf(store);
        await create(runs, 1);
        await pause(400);
        await cancel(runs);
        await remove(runs);
        await create(runs, 2);
      },
    };
    return { processes: [creator, ...company(actors)], monitor: linearHistories(), afterwards: [reader('y'), rebirth('z')] };
  },
};

/** One run and two workers: whoever claims first trains it, and the other one takes over when the first is gone. */
const takeover: Scenario = {
  name: 'takeover',
  about: 'one run, and workers of which each may vanish or fall behind',
  horizonMs: 1700,
  open: (actors) => {
    const creator: Process = { letter: 'c', run: async (store) => void (await create(runsOf(store), 1)) };
    return { processes: [creator, ...company(actors)], monitor: linearHistories(), afterwards: [reader('y'), rebirth('z')] };
  },
};

/** Two clients create one name at once, with different specs, while a third deletes what it finds. */
const contest: Scenario = {
  name: 'contest',
  about: 'two clients create one name at once, each cancels and deletes what it made',
  horizonMs: 2000,
  open: (actors) => {
    const client = (letter: string, mark: number): Process => ({
      letter,
      run: async (store) => {
        const runs = runsOf(store);
        try {
          await create(runs, mark);
          await cancel(runs);
          await remove(runs);
        } catch (error) {
          // The other one was faster, at the creation or with its cancel and delete.
          if (!(error instanceof AlreadyExists || error instanceof NotFound || error instanceof FailedPrecondition)) throw error;
        }
      },
    });
    return {
      processes: [client('c', 1), client('d', 2), ...company(Math.max(0, actors - 1))],
      monitor: linearHistories(),
      afterwards: [reader('y'), rebirth('z')],
    };
  },
};

/** A record in the middle of the log is lost while a worker trains. */
const hole: Scenario = {
  name: 'hole',
  about: 'a record of the log is lost while a worker trains and another one looks for work',
  horizonMs: 1500,
  open: (actors) => {
    let lost = false;
    const loss: Monitor = ({ kind, key }) => {
      lost ||= kind === 'delete' && key.includes('/log/');
    };
    const creator: Process = {
      letter: 'c',
      run: async (store) => {
        await create(runsOf(store), 1);
        for (;;) {
          await pause(200);
          const { objects } = await again(() => store.list(`projects/${PROJECT}/runs/${RUN}/`));
          const records = objects.filter(({ key }) => key.includes('/log/'));
          if (records.length >= 3) return await again(() => store.delete(records[1]!.key));
        }
      },
    };
    return {
      processes: [creator, ...company(Math.min(2, actors))],
      monitor: every(linearHistories(), loss),
      afterwards: [inspector('y', () => lost)],
    };
  },
};

export const scenarios: readonly Scenario[] = [recreate, takeover, contest, hole];
