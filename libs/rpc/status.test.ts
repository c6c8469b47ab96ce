import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import * as errors from '#errors/errors.js';
import { fromServiceError, type GrpcStatus, internalMessage, statusTable, toStatus } from './status.js';

const unexpectedNever = (error: unknown): never => assert.fail(`not in the table: ${error}`);
const received = (s: GrpcStatus): ServiceError => Object.assign(new Error(s.details), s);

const rows: [errors.DomainError, status][] = [
  [
    new errors.InvalidArgument([
      { field: 'spec.rate', value: '1.5', allowed: 'at least 0 and below 1' },
      { field: 'name', value: 'a "quoted", must be x\n', allowed: 'projects/{project}/schedules/{schedule}' },
    ]),
    status.INVALID_ARGUMENT,
  ],
  [new errors.NotFound('schedule', 'projects/p/schedules/s'), status.NOT_FOUND],
  [new errors.NotFound('manifest', 'ab', { why: 'index the data set' }), status.NOT_FOUND],
  [new errors.AlreadyExists('run', 'projects/p/runs/r', 'same request id, other spec'), status.ALREADY_EXISTS],
  [new errors.Aborted('schedule', 'projects/p/schedules/s', 'etag "1" is stale, now "2"'), status.ABORTED],
  [new errors.FailedPrecondition('run', 'projects/p/runs/r', 'it has finished'), status.FAILED_PRECONDITION],
  [new errors.ResourceExhausted('queue', '100 runs', { retryAfterMs: 1500 }), status.RESOURCE_EXHAUSTED],
  [new errors.NeverFits('a batch', '2000 bytes', '1000 bytes'), status.RESOURCE_EXHAUSTED],
  [new errors.DataLoss('train/0001.jpg', 'sha256 ab, expected cd'), status.DATA_LOSS],
  [new errors.Unavailable('the object store', 1250), status.UNAVAILABLE],
  [new errors.PermissionDenied('file x', 'outside the data roots'), status.PERMISSION_DENIED],
  [new errors.Unauthenticated('its token has expired'), status.UNAUTHENTICATED],
  [new errors.Cancelled('WatchRun'), status.CANCELLED],
  [new errors.DeadlineExceeded('GetBatch'), status.DEADLINE_EXCEEDED],
];

test('the table has exactly the domain errors, one row each', () => {
  assert.deepEqual(new Set(statusTable.map((r) => r.type)), new Set(rows.map(([e]) => e.constructor)));
  assert.equal(statusTable.length, new Set(rows.map(([e]) => e.constructor)).size);
  assert.equal(new Set(statusTable.map((r) => r.reason ?? r.code)).size, statusTable.length);
});

for (const [error, code] of rows) {
  test(`${error.name} goes to ${status[code]} and comes back with its fields`, () => {
    const sent = toStatus(error, unexpectedNever);
    assert.equal(sent.code, code);
    assert.equal(sent.details, error.message);
    const back = fromServiceError(received(sent));
    assert.equal(back.constructor, error.constructor);
    assert.equal(back.message, error.message);
    assert.deepEqual({ ...back }, { ...error });
    assert.ok(back.cause instanceof Error);
  });
}

test('RESOURCE_EXHAUSTED carries RetryInfo only if waiting helps', () => {
  const retryOf = (error: errors.DomainError) => {
    const back = fromServiceError(received(toStatus(error, unexpectedNever)));
    return back instanceof errors.ResourceExhausted ? back.retryAfterMs : back.name;
  };
  assert.equal(retryOf(new errors.ResourceExhausted('queue', '100 runs', { retryAfterMs: 0 })), 0);
  assert.equal(retryOf(new errors.ResourceExhausted('revisions', '100')), undefined);
  assert.equal(retryOf(new errors.NeverFits('a batch', '2 bytes', '1 byte')), 'NeverFits');
});

test('anything else is INTERNAL with a fixed message, and is handed to the log', () => {
  for (const error of [new Error('password=hunter2'), 'text', undefined, { code: 5 }, new errors.RemoteError(5, 'x')]) {
    const logged: unknown[] = [];
    const sent = toStatus(error, (e) => logged.push(e));
    assert.equal(sent.code, status.INTERNAL);
    assert.equal(sent.details, internalMessage);
    assert.deepEqual(sent.metadata.toJSON(), {});
    assert.deepEqual(logged, [error]);
  }
});

test('a status without our details comes back by its code alone', () => {
  const bare = (code: status): ServiceError => Object.assign(new Error('x'), { code, details: 'x', metadata: new Metadata() });
  assert.ok(fromServiceError(bare(status.UNAVAILABLE)) instanceof errors.Unavailable);
  assert.ok(fromServiceError(bare(status.CANCELLED)) instanceof errors.Cancelled);
  assert.ok(fromServiceError(bare(status.DEADLINE_EXCEEDED)) instanceof errors.DeadlineExceeded);
  for (const code of [status.NOT_FOUND, status.INTERNAL, status.UNIMPLEMENTED]) {
    const back = fromServiceError(bare(code));
    assert.ok(back instanceof errors.RemoteError);
    assert.equal(back.code, code);
  }
});

/** What the trailers of a status take: its message percent-encoded, its details in base64. */
function trailerBytes({ details, metadata }: GrpcStatus): number {
  return encodeURI(details).length + (metadata.get('grpc-status-details-bin')[0] as Buffer).toString('base64').length;
}

test('a status of any size stays below what clients accept as trailers, and keeps its class', () => {
  const many = Array.from({ length: 500 }, (_, i) => ({ field: `f${i}`, value: 'v'.repeat(120), allowed: 'a'.repeat(500) }));
  const sent = toStatus(new errors.InvalidArgument(many), unexpectedNever);
  assert.ok(trailerBytes(sent) < 7500, `${trailerBytes(sent)}`);
  const back = fromServiceError(received(sent));
  assert.ok(back instanceof errors.InvalidArgument && back.violations.length >= 4, 'and says as much as there is room for');
  // Any UTF-16, which includes halves of pairs, and lengths around and far above the bounds.
  const text = fc
    .tuple(fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 1, maxLength: 12 }), fc.constantFrom(1, 20, 83, 250, 2000))
    .map(([codes, times]) => String.fromCharCode(...codes).repeat(times));
  const violation = fc.record({ field: text, value: text, allowed: text });
  const error = fc.oneof(
    fc.array(violation, { minLength: 1, maxLength: 40 }).map((list) => new errors.InvalidArgument(list)),
    fc.tuple(text, text).map(([kind, name]) => new errors.NotFound(kind, name)),
    fc.tuple(text, text).map(([name, why]) => new errors.AlreadyExists('run', name, why)),
    fc.tuple(text, text).map(([name, why]) => new errors.FailedPrecondition('run', name, why)),
    fc.tuple(text, text).map(([what, why]) => new errors.PermissionDenied(what, why)),
    fc.tuple(text, text).map(([what, detail]) => new errors.DataLoss(what, detail)),
  );
  fc.assert(
    fc.property(error, (thrown) => {
      const status = toStatus(thrown, unexpectedNever);
      assert.ok(trailerBytes(status) < 7500, `${trailerBytes(status)}`);
      assert.equal(fromServiceError(received(status)).constructor, thrown.constructor);
    }),
  );
});

test('garbage as details is not fatal', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (garbage) => {
      const metadata = new Metadata();
      metadata.set('grpc-status-details-bin', Buffer.from(garbage));
      const error = Object.assign(new Error('x'), { code: status.NOT_FOUND, details: 'x', metadata });
      assert.ok(fromServiceError(error) instanceof Error);
    }),
  );
});

test('Violations collects everything before it throws', () => {
  const v = new errors.Violations().add('a', 1, 'two').addAll([{ field: 'rate', value: '2', allowed: 'below 1' }], 'spec.');
  assert.equal(v.check(true, 'c', 0, 'x'), true);
  assert.equal(
    v.collect(() => {
      throw errors.invalid('name', 'B', 'lower case');
    }, 'run.'),
    undefined,
  );
  assert.throws(
    () => v.throwIfAny(),
    (e: errors.InvalidArgument) => {
      assert.deepEqual(
        e.violations.map((x) => x.field),
        ['a', 'spec.rate', 'run.name'],
      );
      assert.match(e.message, /a is "1", must be two; spec\.rate is "2", must be below 1/);
      return true;
    },
  );
  new errors.Violations().throwIfAny();
});

test('places of the server are in no part of a status, and the caller gets its own values back', () => {
  const places = { roots: ['/srv/data'], hidden: ['/mnt/a store'] };
  const message = (error: unknown) => {
    const sent = toStatus(error, unexpectedNever, places);
    const text = Buffer.from(sent.metadata.get('grpc-status-details-bin')[0] as Buffer).toString('utf8');
    for (const place of ['/srv', '/mnt', '10.0.0.1']) assert.ok(!`${sent.details}${text}`.includes(place), `${sent.details}${text}`);
    return sent.details;
  };
  assert.match(
    message(new errors.PermissionDenied('/mnt/x', 'it is outside the allowed folders /srv/data')),
    /\(a path\) .* \(a data root\)/,
  );
  assert.match(
    message(new errors.Unavailable('the object store, whose place /mnt/a store/x has no room left,')),
    /\(a store\)\/x has no room/,
  );
  assert.match(message(new errors.DataLoss('sample dogs/1.png', "open '/srv/data/dogs/1.png'")), /open 'dogs\/1\.png'/);
  assert.match(
    message(new errors.FailedPrecondition('schedule', 'projects/p/schedules/s', 'GetSchedule at 10.0.0.1:7012')),
    /at \(an address\)/,
  );
  const given = new errors.InvalidArgument([{ field: 'filter', value: '/etc/passwd', allowed: 'a filter' }]);
  assert.match(message(given), /^filter is "\/etc\/passwd", must be a filter$/);
  assert.deepEqual(
    (fromServiceError(received(toStatus(given, unexpectedNever, places))) as errors.InvalidArgument).violations,
    given.violations,
  );
});
