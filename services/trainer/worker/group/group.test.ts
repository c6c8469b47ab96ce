/** How a step goes on after an exchange that was interrupted: by what every member says it has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { MeshFailed } from '#collectives/index.js';
import type { ComputeOrder, ExchangeAnswer, FormOrder, LeafResult, StandAnswer } from '#protocol/dropstream/v1/group.js';
import { silentLogger } from '#telemetry/logger.js';
import { Group } from './group.js';
import { createGroupMetrics } from './group-metrics.js';
import type { LocalParticipant } from './local-participant.js';
import { OrderFailed } from './participant.js';
import { RemoteParticipant } from './remote-participant.js';
import { Roster } from './roster.js';

const values = { lr: 1, weightDecay: 0, dropRate: 0 };

/** What a participant does when it is ordered to exchange. */
type Exchange = 'makes the step' | 'makes the step and is lost' | 'fails' | 'is lost';

/** A participant without a program, which keeps what it was ordered. `exchanges`: one after another; the last one again and again. */
class Fake {
  step = 5;
  readonly held = new Set<number>();
  readonly orders: string[] = [];
  lose: (why: string) => void = () => {};

  constructor(
    readonly worker: string,
    readonly exchanges: Exchange[],
  ) {}

  readonly part = {
    form: async ({ generation, copyTo, copyFrom, rank, step }: FormOrder): Promise<void> => {
      this.orders.push(`form ${generation} of step ${step}, ${copyFrom} → ${copyTo}`);
      if (copyTo.includes(rank)) [this.step] = [Number(step), this.held.clear()];
      assert.equal(this.step, Number(step), `${this.worker} is formed for the step that it is at`);
    },
    compute: async ({ leaves }: ComputeOrder): Promise<LeafResult[]> => {
      for (const leaf of leaves) this.held.add(leaf);
      this.orders.push(`compute ${leaves}`);
      return leaves.map((leaf) => ({ leaf, losses: [leaf], replaced: [] }) as unknown as LeafResult);
    },
    giveUp: (): void => {},
    exchange: async (): Promise<ExchangeAnswer> => {
      const exchange = (this.exchanges.length > 1 ? this.exchanges.shift() : this.exchanges[0]) as Exchange;
      this.orders.push(exchange);
      if (exchange.startsWith('makes the step')) [this.step] = [this.step + 1, this.held.clear()];
      if (exchange.endsWith('is lost')) {
        this.lose('it was killed');
        throw new OrderFailed(this.worker, 'it was killed', undefined, true);
      }
      if (exchange === 'fails') throw new MeshFailed(undefined, 'a neighbour is lost');
      return { gradNorm: 7, exchangeSeconds: 0, optimizerSeconds: 0 };
    },
    stand: async (): Promise<StandAnswer> => ({ step: BigInt(this.step), leaves: [...this.held], gradNorm: 7 }),
  };
}

async function stepOf(leader: Fake, ...others: Fake[]) {
  const local = Object.assign({ worker: leader.worker, cancel: () => {} }, leader.part) as unknown as LocalParticipant;
  const [metrics, logger] = [createGroupMetrics(new Registry()), silentLogger()];
  const roster = new Roster({ leader: local, least: 1, most: 9, onSize: () => {}, metrics, logger });
  for (const other of others) {
    const remote = Object.assign(new RemoteParticipant(other.worker, 60_000), other.part);
    other.lose = (why) => remote.lose(why);
    roster.admit(remote);
  }
  const group = new Group({
    ...{ leaves: 6, roster, local, parameters: [], fingerprint: 'f', metrics, logger },
    append: async () => {},
    onGeneration: () => {},
    describe: () => ({ metrics: undefined, replaced: [], recorded: 5n }),
    progress: async () => Buffer.from('{}'),
    onFormed: () => {},
  });
  await group.settle(5);
  const made = await group.step(5, values);
  const recomputed = (await metrics.recomputed.get()).values[0]?.value;
  const members = roster.members.map(({ worker }) => worker);
  roster.close('the test ends');
  return { made, recomputed, members };
}

test('if nobody has made the step, only the leaves of the lost member are computed again', async () => {
  const leader = new Fake('leader', ['fails', 'makes the step']);
  const a = new Fake('a', ['fails', 'makes the step']);
  const b = new Fake('b', ['is lost']);
  const { made, recomputed, members } = await stepOf(leader, a, b);
  assert.deepEqual([made.gradNorm, recomputed, members], [7, 2, ['leader', 'a']]);
  assert.deepEqual([leader.step, a.step], [6, 6]);
  assert.deepEqual(
    made.leaves.map(({ leaf }) => leaf),
    [0, 1, 2, 3, 4, 5],
  );
  assert.equal(leader.orders.concat(a.orders).filter((order) => order.startsWith('compute')).length, 6);
});

test('if a member has made the step, the leader copies its state instead of making the step again', async () => {
  const leader = new Fake('leader', ['fails']);
  const a = new Fake('a', ['makes the step']);
  const b = new Fake('b', ['is lost']);
  const { made, recomputed } = await stepOf(leader, a, b);
  assert.deepEqual([made.gradNorm, recomputed], [7, 0]);
  assert.equal(leader.step, 6);
  assert.deepEqual(leader.orders.slice(-2), ['fails', 'form 2 of step 6, 1 → 0']);
});

test('if the only member that has made the step is lost while it is copied from, the step is computed again by those that are left', async () => {
  const leader = new Fake('leader', ['fails', 'makes the step']);
  const a = new Fake('a', ['fails', 'makes the step']);
  const b = new Fake('b', ['makes the step and is lost']);
  const { made, recomputed, members } = await stepOf(leader, a, b);
  assert.deepEqual([made.gradNorm, recomputed, members], [7, 2, ['leader', 'a']]);
  assert.deepEqual([leader.step, a.step], [6, 6]);
});

test('if only the leader has made the step, the others copy its state', async () => {
  const leader = new Fake('leader', ['makes the step']);
  const a = new Fake('a', ['fails']);
  const b = new Fake('b', ['is lost']);
  const { recomputed, members } = await stepOf(leader, a, b);
  assert.deepEqual([recomputed, members], [0, ['leader', 'a']]);
  assert.equal(a.step, 6);
  assert.deepEqual(a.orders.slice(-2), ['fails', 'form 2 of step 6, 0 → 1']);
});
