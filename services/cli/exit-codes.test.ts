import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as errors from '#errors/errors.js';
import { statusTable } from '#rpc/status.js';
import { CommandError, describeError, exitCodeMeanings, exitCodeOf, exitCodes } from './exit-codes.js';

test('every domain error has an exit code of its own kind', () => {
  const cases: [unknown, number][] = [
    [new errors.InvalidArgument([]), 2],
    [new errors.Unavailable('x'), 3],
    [new errors.DeadlineExceeded(), 3],
    [new errors.NotFound('run', 'r'), 4],
    [new errors.AlreadyExists('run', 'r'), 5],
    [new errors.Aborted('run', 'r', 'w'), 5],
    [new errors.FailedPrecondition('run', 'r', 'w'), 5],
    [new errors.PermissionDenied('x', 'y'), 6],
    [new errors.Unauthenticated('w'), 6],
    [new errors.DataLoss('x', 'y'), 7],
    [new errors.ResourceExhausted('x', 'y'), 8],
    [new errors.NeverFits('x', 'y', 'z'), 8],
    [new errors.Cancelled(), 130],
    [new errors.RemoteError(14, 'down'), 3],
    [new errors.RemoteError(13, 'internal'), 1],
    [new CommandError('x', 42), 42],
    [new Error('x'), 1],
    ['x', 1],
  ];
  for (const [error, code] of cases) assert.equal(exitCodeOf(error), code, String(error));
  const classes = new Set(cases.map(([error]) => (error as object).constructor));
  for (const { type } of statusTable) assert.ok(classes.has(type), `${type.name} has a case above`);
});

test('every exit code is described', () => {
  assert.deepEqual(
    exitCodeMeanings.map(([code]) => code),
    Object.values(exitCodes),
  );
});

test('violations are shown one a line, a single one as a sentence', () => {
  const one = errors.invalid('spec.lr', '-1', 'at least 0');
  assert.equal(describeError(one), 'spec.lr is "-1", must be at least 0');
  const two = new errors.InvalidArgument([...one.violations, { field: 'model', value: '', allowed: 'given' }]);
  assert.equal(describeError(two), '2 values are not valid:\n  spec.lr is "-1", must be at least 0\n  model is not given, must be given');
});
