/** What a watcher bears, and for how long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeadlineExceeded, NotFound, Unavailable } from '#errors/errors.js';
import { Reconnects } from './reconnects.js';

const lost = [new Unavailable('the trainer'), new DeadlineExceeded('ListRuns')];

for (const error of lost)
  test(`${error.name} is borne until the patience is over`, () => {
    const { signal } = new AbortController();
    const told: Error[] = [];
    const patient = new Reconnects({ signal, onReconnect: (each) => told.push(each) });
    patient.bear(error);
    patient.bear(error);
    assert.deepEqual(told, [error, error]);
    const impatient = new Reconnects({ signal, patienceSeconds: -1 });
    assert.throws(() => impatient.bear(error), error);
  });

test('an error that another connection does not help is thrown at once', () => {
  const { signal } = new AbortController();
  const error = new NotFound('run', 'projects/p/runs/r');
  assert.throws(() => new Reconnects({ signal }).bear(error), error);
});
