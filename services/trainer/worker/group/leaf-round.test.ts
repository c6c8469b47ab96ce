import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { StepCancelled } from '#engine/index.js';
import type { ComputeOrder, GiveUpNote, LeafResult } from '#protocol/dropstream/v1/group.js';
import { silentLogger } from '#telemetry/logger.js';
import { createGroupMetrics } from './group-metrics.js';
import { LeafRound } from './leaf-round.js';
import type { Participant } from './participant.js';
import { RemoteParticipant } from './remote-participant.js';
import { Roster } from './roster.js';

const values = { lr: 1, weightDecay: 0, dropRate: 0 };

/** A round of four leaves, of which the leader and one member usually compute two each. `gets`: which leaves the leader, or the member, gets data for. */
function roundOf(leaderGets: readonly number[], memberGets: readonly number[]) {
  const asked: string[] = [];
  /** As LocalParticipant answers: one after another, and without what was given up while it waited for data. */
  const computing = (name: string, gets: readonly number[]) => {
    const waiting = new Map<number, (results: LeafResult[]) => void>();
    return {
      compute: ({ leaves: [leaf] }: ComputeOrder): Promise<LeafResult[]> => {
        asked.push(`${name} ${leaf}`);
        if (gets.includes(leaf!)) return Promise.resolve([{ leaf } as LeafResult]);
        return new Promise((resolve) => waiting.set(leaf!, resolve));
      },
      giveUp: ({ leaves: [leaf] }: GiveUpNote): void => {
        asked.push(`${name} gives up ${leaf}`);
        waiting.get(leaf!)?.([]);
      },
    };
  };
  const leader = { worker: 'leader', ...computing('leader', leaderGets) } as unknown as Participant;
  const member = Object.assign(new RemoteParticipant('member', 60_000), computing('member', memberGets));
  const roster = new Roster({
    leader,
    ...{ least: 1, most: 2, onSize: () => {}, metrics: createGroupMetrics(new Registry()), logger: silentLogger() },
  });
  roster.admit(member);
  roster.settle();
  const homeOf = (one: Participant): number[] => (one === leader ? [0, 1] : [2, 3]);
  let cancelled = false;
  const isCancelled = (): boolean => cancelled;
  const options = { step: 3, values, leaves: 4, roster, local: leader, homeOf, isCancelled, onLost: () => {}, patienceMs: 20 };
  const cancel = (): void => {
    cancelled = true;
    roster.wake();
  };
  return { round: new LeafRound(options), asked, leader, member, cancel, close: () => roster.close('the test ends') };
}

test('leaves that a member has no data for move to one that has nothing to do', async () => {
  const { round, asked, leader, member, close } = roundOf([0, 1, 2, 3], [2]);
  await round.complete();
  assert.ok(round.isComplete);
  assert.deepEqual(round.heldBy(leader), [0, 1, 3]);
  assert.deepEqual(round.heldBy(member), [2]);
  assert.deepEqual(asked.slice(-2), ['member gives up 3', 'leader 3']);
  close();
});

test('so they do from the leader', async () => {
  const { round, leader, member, close } = roundOf([1], [0, 1, 2, 3]);
  await round.complete();
  assert.deepEqual(round.heldBy(leader), [1]);
  assert.deepEqual(round.heldBy(member).sort(), [0, 2, 3]);
  close();
});

test('a leaf that nobody has data for is waited for, and asked of each once', async () => {
  const { round, asked, cancel, close } = roundOf([0, 1], [2]);
  const ended = round.complete();
  // Long enough for fifteen looks at who has nothing to do: a leaf that is asked for again and again would show.
  await delay(300);
  const of3 = asked.filter((text) => text.endsWith(' 3'));
  assert.deepEqual(of3.slice(0, 4), ['member 3', 'member gives up 3', 'leader 3', 'leader gives up 3'].slice(0, of3.length));
  assert.ok(of3.length <= 5, of3.join());
  assert.equal(await Promise.race([ended, delay(50, 'waits')]), 'waits');
  cancel();
  await assert.rejects(ended, StepCancelled);
  close();
});
