import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BadRequest } from '#protocol/google/rpc/error_details.js';
import { errorOf, mayPass } from './rpc-error.js';

const fieldViolations = [
  { field: 'spec.batch_size', description: 'is "0", must be an integer from 1 to 65536' },
  { field: 'spec.epochs', description: 'is "x", must be a number' },
];
const value = Buffer.from(BadRequest.encode(BadRequest.fromPartial({ fieldViolations })).finish()).toString('base64');

for (const [how, detail] of [
  ['as JSON', { type: 'google.rpc.BadRequest', value, debug: { fieldViolations } }],
  ['as bytes', { type: 'google.rpc.BadRequest', value }],
] as const) {
  test(`the fields of a refused request are read ${how}`, () => {
    const error = errorOf(400, JSON.stringify({ code: 'invalid_argument', message: 'two fields', details: [detail] }));
    assert.equal(error.code, 'invalid_argument');
    assert.deepEqual(error.violations, fieldViolations);
    assert.equal(mayPass(error), false);
  });
}

test('an answer that is no error of the protocol has a code by its status', () => {
  for (const [status, code] of [
    [401, 'unauthenticated'],
    [403, 'permission_denied'],
    [502, 'unavailable'],
    [500, 'unknown'],
  ] as const) {
    const error = errorOf(status, '<html>proxy</html>');
    assert.equal(error.code, code);
    assert.match(error.message, new RegExp(String(status)));
  }
  assert.equal(mayPass(errorOf(503, '')), true);
});

test('bytes that are no message give no fields instead of an error', () => {
  const error = errorOf(
    400,
    JSON.stringify({ code: 'invalid_argument', message: 'm', details: [{ type: 'google.rpc.BadRequest', value: '/w==' }] }),
  );
  assert.deepEqual(error.violations, []);
});
