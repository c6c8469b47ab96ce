import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AlreadyExists, InvalidArgument, Violations } from '#errors/errors.js';
import { formatName, idPattern, matchName, type NameKind, namePatterns, parseName } from '#errors/resource-names.js';
import { parseUpdateMask } from './field-mask.js';
import { nextPageToken, pageOf, parsePage } from './pagination.js';
import { checkRepeated, checkRequestId, idFromRequest } from './request-id.js';

const refuses = (run: () => unknown, field: string, allowed: RegExp): void => {
  assert.throws(run, (e) => e instanceof InvalidArgument && e.violations[0]!.field === field && allowed.test(e.violations[0]!.allowed));
};

const id = fc.stringMatching(idPattern);

test('a formatted name parses to its ids, for every kind', () => {
  for (const kind of Object.keys(namePatterns) as NameKind[]) {
    fc.assert(
      fc.property(id, id, id, fc.integer({ min: 1, max: 999_999 }), (a, b, c, n) => {
        const ids = { project: a, dataset: b, manifest: b, schedule: b, run: b, checkpoint: c, evaluation: b, revision: String(n) };
        const name = formatName(kind, ids);
        const back = matchName(kind, name);
        assert.ok(back);
        const { kind: found, name: whole, ...parts } = back;
        assert.deepEqual([found, whole], [kind, name]);
        for (const [key, value] of Object.entries(parts)) assert.equal(value, ids[key as keyof typeof ids]);
        assert.equal(formatName(kind, parts as typeof ids), name);
      }),
      { numRuns: 50 },
    );
  }
});

test('malformed names are refused with the pattern', () => {
  const bad = ['', 'projects/p', 'projects//schedules/s', 'projects/P/schedules/s', 'projects/p/runs/s', 'projects/p/schedules/s/', '../x'];
  for (const name of [...bad, `projects/p/schedules/${'s'.repeat(64)}`, 'projects/p/schedules/1s', 'projects/p/schedules/s\n']) {
    refuses(() => parseName('schedule', name), 'name', /^projects\/\{project\}\/schedules\/\{schedule\}/);
  }
  for (const revision of ['0', '01', '-1', 'x', '']) {
    assert.equal(matchName('scheduleRevision', `projects/p/schedules/s/revisions/${revision}`), undefined);
  }
});

test('pages cover a list once, in order, whatever the size', () => {
  fc.assert(
    fc.property(fc.uniqueArray(id, { maxLength: 40 }), fc.integer({ min: 1, max: 7 }), (keys, pageSize) => {
      const sorted = [...keys].sort();
      const seen: string[] = [];
      let pageToken = '';
      do {
        const page = parsePage({ pageSize, pageToken }, 'list');
        const cut = pageOf(sorted, (k) => k, page, 'list');
        seen.push(...cut.items);
        pageToken = cut.nextPageToken;
      } while (pageToken !== '');
      assert.deepEqual(seen, sorted);
    }),
  );
});

test('page size has a default and a maximum; tokens of other lists and garbage are refused', () => {
  const limits = { defaultSize: 5, maxSize: 10 };
  assert.deepEqual(parsePage({ pageSize: 0, pageToken: '' }, 'a', limits), { size: 5, after: undefined });
  assert.equal(parsePage({ pageSize: 99, pageToken: '' }, 'a', limits).size, 10);
  refuses(() => parsePage({ pageSize: -1, pageToken: '' }, 'a'), 'page_size', /0/);
  const token = nextPageToken('k', 'a');
  assert.equal(parsePage({ pageSize: 1, pageToken: token }, 'a').after, 'k');
  for (const pageToken of ['x', '!!!!', token.slice(0, -1), `${token}A`, nextPageToken('k', 'b')]) {
    refuses(() => parsePage({ pageSize: 1, pageToken }, 'a'), 'page_token', /next_page_token/);
  }
});

test('update masks select updatable fields only', () => {
  assert.deepEqual(parseUpdateMask(undefined, ['spec', 'title']), new Set(['spec', 'title']));
  assert.deepEqual(parseUpdateMask(['*'], ['spec']), new Set(['spec']));
  assert.deepEqual(parseUpdateMask(['title'], ['spec', 'title']), new Set(['title']));
  for (const paths of [['name'], ['spec.rate'], ['spec', 'spec'], ['*', 'spec'], ['']]) {
    refuses(() => parseUpdateMask(paths, ['spec']), 'update_mask', /spec/);
  }
});

test('request ids are checked, and derive stable ids', () => {
  for (const [value, ok] of [
    ['', true],
    ['7f3c-1', true],
    ['a'.repeat(64), true],
    ['a'.repeat(65), false],
    ['a b', false],
    ['a.b', false],
  ] as const) {
    assert.equal(checkRequestId(new Violations(), value), ok);
  }
  assert.equal(idFromRequest('run', 'p', 'x'), idFromRequest('run', 'p', 'x'));
  assert.notEqual(idFromRequest('run', 'p', 'x'), idFromRequest('run', 'q', 'x'));
  assert.match(idFromRequest('run', 'p', 'x'), idPattern);
});

test('a request is repeated if its id and its content are those of the first one; the error says what differs and since when', () => {
  const time = new Date('2026-11-29T12:00:00Z');
  const ask = (requestId: string, digest: string, earlier: string) => () =>
    checkRepeated('run', 'r', { requestId: earlier, digest: 'd', time }, { requestId, digest });
  ask('a', 'd', 'a')();
  const since = 'run r already exists: it was created at 2026-11-29T12:00:00.000Z';
  const cases: [string, string, string, string][] = [
    ['a', 'e', 'a', 'with the request id a and another spec'],
    ['b', 'd', 'a', 'with another request id and the same spec'],
    ['b', 'e', 'a', 'with another request id and another spec'],
    ['b', 'd', '', 'with another request id and the same spec'],
    ['', 'd', '', 'by an earlier request, and this one has no request id; it has the same spec'],
    ['', 'e', 'a', 'by an earlier request, and this one has no request id; it has another spec'],
  ];
  for (const [requestId, digest, earlier, why] of cases)
    assert.throws(ask(requestId, digest, earlier), (e) => e instanceof AlreadyExists && e.message === `${since} ${why}`, why);
});
