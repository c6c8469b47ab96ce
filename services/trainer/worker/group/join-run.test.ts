/** When a worker helps with a run, and what it does when the leader is lost. What it does as a member is a fake here. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailedPrecondition } from '#errors/errors.js';
import { ClaimedRecord, CreatedRecord, Run, RunState } from '#protocol/dropstream/v1/trainer.js';
import { heartbeatKey } from '#storage/lease.js';
import { silentLogger } from '#telemetry/logger.js';
import { freshDirectoryStore } from '../../../../test/support/fresh-store.js';
import { freePort } from '../../../../test/support/tool.js';
import { heartbeatPrefix, openRunLog, runName } from '../../run/run-log.js';
import type { Helper } from './helper.js';
import type { Inheritance } from './inheritance.js';
import { type JoinRunOptions, RunJoiner } from './join-run.js';
import type { MembershipEnd } from './membership.js';

const { store } = await freshDirectoryStore();
let runs = 0;

/** A run whose leader takes members, and a worker for which every membership ends like this. */
async function joining(help: () => Promise<MembershipEnd>) {
  const id = `r${++runs}`;
  const entry = { project: 'p', id, uid: String(runs).padStart(32, '0') };
  const run = Run.fromPartial({ name: runName('p', id), uid: entry.uid, spec: { workers: { min: 1, max: 3 } } });
  const log = openRunLog(store, entry);
  const created = CreatedRecord.fromPartial({ state: RunState.QUEUED, run });
  await log.append((now) => (now ? undefined : { body: { $case: 'created', value: created } }));
  const claimed = ClaimedRecord.fromPartial({ attempt: 1, worker: 'leader' });
  const view = (await log.append(() => ({ body: { $case: 'claimed', value: claimed } })))!;
  const offer = { owner: 'leader', beat: 1, group: { address: `127.0.0.1:${await freePort()}`, members: 2, wants: 1 } };
  await store.put(heartbeatKey(heartbeatPrefix(entry), view.fence), Buffer.from(JSON.stringify(offer)));
  const done: string[] = [];
  const helper = {
    ...{ memberships: 0, isSpared: true, inheritance: { step: 5 } as Inheritance, help },
    rest: async () => {},
    handOver: () => done.push('hands its program over'),
    close: async () => void done.push('closes'),
  };
  const joiner: RunJoiner = new RunJoiner({
    ...{ store, worker: 'w', silenceMs: 1000, leaseTtlMs: 600_000, logger: silentLogger() },
    shortage: { isShunned: () => false, shun: () => {} } as unknown as JoinRunOptions['shortage'],
    available: () => ({ available: true, version: '1' }),
    prepare: (async () => {
      done.push('prepares');
      return helper as unknown as Helper;
    }) as typeof Helper.prepare,
  } as unknown as JoinRunOptions);
  const [leave, stop] = [new AbortController(), new AbortController()];
  const membership = { leaving: AbortSignal.any([leave.signal, stop.signal]), stopping: stop.signal, sparedIf: () => {} };
  const claim = async (): Promise<boolean> => {
    done.push('claims');
    return joiner.takeInheritance(entry.uid) !== undefined;
  };
  return { done, view, leave, stop, joiner, join: () => joiner.join(entry, view, membership, claim) };
}

test('a member that was asked to leave for other work, and is still there when the leader is lost, leads the run', async () => {
  const { done, leave, join } = await joining(async () => {
    leave.abort(new Error('work waits'));
    return 'orphaned';
  });
  assert.equal(await join(), true);
  assert.deepEqual(done, ['prepares', 'claims', 'hands its program over', 'closes']);
});

test('a member whose process stops leads nothing', async () => {
  const { done, stop, join } = await joining(async () => {
    stop.abort(new Error('the worker is stopping'));
    return 'orphaned';
  });
  assert.equal(await join(), true);
  assert.deepEqual(done, ['prepares', 'closes']);
});

test('a worker that left for other work may come back at once, one that was dismissed later', async () => {
  const left = await joining(async () => {
    left.leave.abort(new Error('work waits'));
    return 'dismissed';
  });
  assert.equal(await left.join(), true);
  assert.ok(left.joiner.mayJoin(left.view));
  const dismissed = await joining(async () => 'dismissed');
  assert.equal(await dismissed.join(), true);
  assert.ok(!dismissed.joiner.mayJoin(dismissed.view));
  assert.equal(await dismissed.join(), false);
});

test('a leader that refuses a worker is not asked again and again', async () => {
  const { done, joiner, view, join } = await joining(async () => {
    throw new FailedPrecondition('group', 'r', 'all its workers have other numerics');
  });
  assert.ok(joiner.mayJoin(view));
  assert.equal(await join(), false);
  assert.ok(!joiner.mayJoin(view));
  assert.equal(await join(), false);
  assert.deepEqual(done, ['prepares', 'closes']);
});
