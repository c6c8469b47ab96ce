import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as errors from '#errors/errors.js';
import { ScheduleError } from '#schedule/index.js';
import { CheckpointDamaged } from '#storage/checkpoint-manifest.js';
import { LogConflict, LogDamaged } from '#storage/log-record.js';
import { ObjectNotFound, StoreUnavailable } from '#storage/object-store.js';
import { InvalidStoreUri } from '#storage/open-store.js';
import { mapLowerErrors } from './map-lower-errors.js';

const rows: [Error, new (...args: never[]) => errors.DomainError, RegExp][] = [
  [new StoreUnavailable('no answer', true), errors.Unavailable, /object store is unavailable, retry after 1000 ms/],
  [new CheckpointDamaged('weights-ab.safetensors', 'ab', 'cd'), errors.DataLoss, /weights-ab\.safetensors.*expected ab, found cd/],
  [new LogDamaged('projects/p/runs/r/log/1', 'not JSON'), errors.DataLoss, /runs\/r\/log\/1 is damaged: not JSON/],
  [new LogConflict('projects/p/runs/r', 4, { kind: 'paused' } as never), errors.Aborted, /runs\/r was not changed/],
  [new InvalidStoreUri('ftp://x', 'unknown scheme'), errors.InvalidArgument, /store is "ftp:\/\/x".*unknown scheme/],
  [new ScheduleError([{ field: 'rate', value: '2', allowed: 'below 1' }]), errors.InvalidArgument, /rate is "2", must be below 1/],
];

for (const [lower, type, message] of rows) {
  test(`${lower.name} is ${type.name}`, () => {
    const mapped = mapLowerErrors(lower);
    assert.ok(mapped instanceof type);
    assert.match(mapped.message, message);
  });
}

test('errors that are not meant for callers stay unmapped', () => {
  for (const error of [new StoreUnavailable('access denied', false), new ObjectNotFound('k'), new Error('x'), 'text', undefined]) {
    assert.equal(mapLowerErrors(error), undefined);
  }
});
