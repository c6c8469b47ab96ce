import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Code } from '@connectrpc/connect';
import { Metadata, status } from '@grpc/grpc-js';
import { DeadlineExceeded, Unavailable } from '#errors/errors.js';
import { readProtos } from '../protos.js';
import { connectErrorOf } from './connect-error.js';

test('what grpc-js says of a place is not for callers', () => {
  const { registry } = readProtos();
  const answer = (code: status, details: string) => Object.assign(new Error(details), { code, details, metadata: new Metadata() });
  const logged: unknown[] = [];
  const told = (error: unknown) => connectErrorOf(error, { registry, backend: 'trainer', unexpected: (each) => logged.push(each) });
  const passed = new DeadlineExceeded('x', {
    cause: answer(status.DEADLINE_EXCEEDED, 'Deadline exceeded after 1.0s,remote_addr=10.1.2.3:7013'),
  });
  const late = told(passed);
  assert.deepEqual([late.code, late.rawMessage], [Code.DeadlineExceeded, 'the deadline of the call of the trainer service has passed']);
  assert.deepEqual(logged, []);
  const away = told(new Unavailable('x', 0, { cause: answer(status.UNAVAILABLE, 'connect ECONNREFUSED 10.1.2.3:7013') }));
  assert.equal(away.code, Code.Unavailable);
  assert.doesNotMatch(away.message, /10\.1/);
  assert.equal(logged.length, 1);
});
