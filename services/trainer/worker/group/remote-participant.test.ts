import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RemoteParticipant } from './remote-participant.js';

test('a member that says nothing is lost within the time that is set, and not before nearly all of it', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const frozen = new RemoteParticipant('frozen', 2000);
  t.mock.timers.tick(1500);
  frozen.answer({ order: 0n, answer: { $case: 'alive', value: {} } } as never);
  t.mock.timers.tick(1899);
  assert.ok(!frozen.lost.aborted);
  t.mock.timers.tick(101);
  assert.match((frozen.lost.reason as Error).message, /nothing was heard of it for 2000 ms/);
});

test('a member is asked for signs of life, and one that gives them stays', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const member = new RemoteParticipant('member', 2000);
  const messages = member.messages();
  const kinds: (string | undefined)[] = [(await messages.next()).value?.message?.$case];
  for (let k = 0; k < 10; k++) {
    t.mock.timers.tick(400);
    kinds.push((await messages.next()).value?.message?.$case);
    member.answer({ order: 0n, answer: { $case: 'alive', value: {} } } as never);
  }
  assert.deepEqual(kinds, ['welcome', ...Array.from({ length: 10 }, () => 'alive')]);
  assert.ok(!member.lost.aborted);
  member.dismiss('the test ends');
});
