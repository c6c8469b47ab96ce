import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NotFound } from '#errors/errors.js';
import type { JoinGroupResponse } from '#protocol/dropstream/v1/group.js';
import { silentLogger } from '#telemetry/logger.js';
import type { LocalParticipant } from './local-participant.js';
import { type GroupClient, Membership, type MembershipEnd } from './membership.js';

type Message = NonNullable<JoinGroupResponse['message']>;

/** A membership whose leader says this, and knows the member no more when it answers. */
async function served(last: Message | undefined): Promise<MembershipEnd> {
  const client = {
    answerOrder: async () => {
      throw new NotFound('member', 'm', { why: 'its membership has ended' });
    },
  } as unknown as GroupClient;
  async function* messages(): AsyncGenerator<JoinGroupResponse, void, void> {
    yield { order: 0n, message: { $case: 'welcome', value: { member: 'm', silenceMs: 5000 } } };
    yield { order: 0n, message: { $case: 'alive', value: {} } };
    await delay(20);
    if (last !== undefined) yield { order: 0n, message: last };
  }
  const membership = new Membership({ client, run: 'projects/p/runs/r', logger: silentLogger(), signal: new AbortController().signal });
  return await membership.serve(messages(), { step: 3 } as LocalParticipant);
}

test('a member whose sign of life crosses its dismissal is dismissed, and not orphaned', async () => {
  assert.equal(await served({ $case: 'dismiss', value: { reason: 'the leader has ended its attempt', short: false } }), 'dismissed');
});

test('a member whose leader ends the connection without a word is orphaned', async () => {
  assert.equal(await served(undefined), 'orphaned');
});
