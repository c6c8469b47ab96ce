import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InvalidArgument } from '#errors/errors.js';
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { maxFilterLength } from './filter-syntax.js';
import { compareKeys, orderKey, type RunFacts, type RunOrder, runFilter, runOrder } from './run-filter.js';

const run = (part: Partial<RunFacts> = {}): RunFacts => ({
  id: 'r',
  state: RunState.RUNNING,
  model: 'vit_tiny',
  labels: { team: 'vision', stage: '' },
  createMs: 1,
  priority: 0,
  ...part,
});

const matches = (filter: string, part?: Partial<RunFacts>): boolean => runFilter(filter)!(run(part));

function refusal(filter: string): { allowed: string; value: string } {
  try {
    runFilter(filter);
  } catch (error) {
    assert.ok(error instanceof InvalidArgument, `${error}`);
    const [violation] = error.violations;
    assert.equal(violation?.field, 'filter');
    return violation!;
  }
  return assert.fail(`${filter} was accepted`);
}

test('an empty filter is none', () => {
  for (const filter of ['', ' \t\n ']) assert.equal(runFilter(filter), undefined);
});

test('comparisons of state, model and labels', () => {
  for (const filter of [
    'state = RUNNING',
    'state=RUN_STATE_RUNNING',
    'state != QUEUED',
    'model = "vit_tiny"',
    "model = 'vit_tiny'",
    'labels.team = vision',
    'labels.team != speech',
    'labels.stage = ""',
    'labels.other = ""',
    'labels.other != x',
    'labels.constructor = ""',
    'state = RUNNING AND labels.team = vision AND model != x',
    'state = QUEUED OR state = RUNNING',
    'state = (QUEUED OR RUNNING)',
    'state != (QUEUED OR PAUSED)',
    '(state = QUEUED OR model = vit_tiny) AND labels.team = vision',
    // OR binds more strongly than AND (aip.dev/160).
    'model = vit_tiny OR model = x AND state = RUNNING',
  ])
    assert.ok(matches(filter), filter);
  for (const filter of [
    'state = QUEUED',
    'state != RUNNING',
    'state != (QUEUED OR RUNNING)',
    'model = vit',
    'labels.team = Vision',
    'labels.other = x',
    'model = vit_tiny OR model = x AND state = QUEUED',
  ])
    assert.ok(!matches(filter), filter);
  assert.ok(matches('labels.q = "a \\"b\\" \\\\"', { labels: { q: 'a "b" \\' } }));
});

test('a refusal names the position and what is allowed there', () => {
  for (const [filter, position, allowed] of [
    ['state', 6, /"=" or "!="/],
    ['state = ', 9, /a value/],
    ['state = RUNNING AND', 20, /a field/],
    ['state = RUNNING model = x', 17, /AND, OR or its end/],
    ['state = running', 9, /QUEUED, RUNNING, PAUSED, SUCCEEDED, FAILED, CANCELLED/],
    ['priority = high', 12, /a whole number/],
    ['name = x', 1, /state, model, priority or labels\.KEY/],
    ['labels.Team = x', 1, /labels\.KEY/],
    ['labels = x', 1, /labels\.KEY/],
    ['state > RUNNING', 7, /"="/],
    ['(state = RUNNING', 17, /"\)"/],
    ['model = "x', 11, /closing "/],
    ['model = "\\n"', 11, /a quote or a backslash/],
    ['state = AND', 9, /a value/],
    [`${'('.repeat(17)}state = RUNNING${')'.repeat(17)}`, 17, /at most 16 parentheses/],
  ] as const) {
    const violation = refusal(filter);
    assert.match(violation.allowed, allowed, filter);
    assert.match(violation.allowed, new RegExp(`at position ${position},`), filter);
  }
  assert.match(refusal('x'.repeat(maxFilterLength + 1)).allowed, /at most 2048 characters/);
});

/** A filter as its author means it, its text, and whether a run matches by the plain meaning. */
interface Meant {
  readonly text: string;
  readonly holds: (run: RunFacts) => boolean;
}

const word = fc.stringMatching(/^[a-z][a-z0-9_-]{0,3}$/);
const quoteOf = (value: string): string => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
const value = fc.oneof(
  word.map((text) => ({ text, value: text })),
  fc.string({ maxLength: 6 }).map((text) => ({ text: quoteOf(text), value: text })),
);
const gap = fc.constantFrom('', ' ', '\t ');
const stateName = fc.constantFrom('QUEUED', 'RUNNING', 'FAILED');
const comparison: fc.Arbitrary<Meant> = fc
  .tuple(
    fc.oneof(
      fc.tuple(
        fc.constant('state'),
        stateName.map((text) => ({ text, value: text })),
      ),
      fc.tuple(fc.constant('model'), value),
      fc.tuple(
        fc.constant('priority'),
        fc.integer({ min: -3, max: 3 }).map((n) => ({ text: `${n}`, value: `${n}` })),
      ),
      fc.tuple(
        fc.constantFrom('a', 'b', 'c').map((key) => `labels.${key}`),
        value,
      ),
    ),
    fc.boolean(),
    gap,
    gap,
  )
  .map(([[field, { text, value: wanted }], negated, before, after]) => ({
    text: `${field}${before}${negated ? '!=' : '='}${after}${text}`,
    holds: (of) => {
      const facts: Record<string, string> = { state: RunState[of.state], model: of.model, priority: `${of.priority}` };
      const found = Object.hasOwn(facts, field) ? facts[field] : (of.labels[field.slice(7)] ?? '');
      return (found === wanted) !== negated;
    },
  }));
const { filter: meant } = fc.letrec<{ filter: Meant; joined: Meant }>((tie) => ({
  filter: fc.oneof({ depthSize: 'small', withCrossShrink: true }, comparison, tie('joined')),
  joined: fc.tuple(fc.boolean(), fc.array(tie('filter'), { minLength: 1, maxLength: 3 })).map(([and, parts]) => ({
    text: parts.map(({ text }) => `(${text})`).join(and ? ' AND ' : ' OR '),
    holds: (of) => (and ? parts.every(({ holds }) => holds(of)) : parts.some(({ holds }) => holds(of))),
  })),
}));
const anyRun: fc.Arbitrary<RunFacts> = fc.record({
  id: word,
  state: fc.constantFrom(RunState.QUEUED, RunState.RUNNING, RunState.FAILED),
  model: fc.oneof(word, fc.string({ maxLength: 3 })),
  labels: fc.dictionary(fc.constantFrom('a', 'b', 'c'), fc.oneof(word, fc.constant(''))),
  createMs: fc.nat(),
  priority: fc.integer({ min: -3, max: 3 }),
});

test('a filter matches what its parts say, however it is nested and spaced', () => {
  fc.assert(
    fc.property(meant, fc.array(anyRun, { minLength: 1, maxLength: 5 }), ({ text, holds }, runs) => {
      fc.pre(text.length <= maxFilterLength);
      const filter = runFilter(text)!;
      for (const one of runs) assert.equal(filter(one), holds(one), text);
    }),
    { numRuns: 500 },
  );
});

test('any text is either a filter or refused by position', () => {
  const piece = fc.oneof(
    fc.constantFrom('state', 'model', 'labels.a', '=', '!=', '(', ')', 'AND', 'OR', '"', "'", '\\', ' ', 'RUNNING', '.', '-', 'labels.'),
    fc.string({ maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const text = pieces.join('');
      try {
        runFilter(text)?.(run());
      } catch (error) {
        assert.ok(error instanceof InvalidArgument, `${text}: ${error}`);
        const [position] = /(?<=at position )\d+/.exec(error.violations[0]!.allowed) ?? [];
        assert.ok(Number(position) >= 1 && Number(position) <= text.length + 1, `${text}: ${error.message}`);
      }
    }),
    { numRuns: 3000 },
  );
});

test('orders are read, total, and reversed by desc', () => {
  assert.deepEqual(runOrder(''), { by: 'name', descending: false });
  assert.deepEqual(runOrder(' create_time  desc '), { by: 'create_time', descending: true });
  for (const text of ['age', 'name asc', 'name,create_time', 'create_time DESC', 'desc'])
    assert.throws(
      () => runOrder(text),
      (error) => error instanceof InvalidArgument && error.violations[0]!.field === 'order_by',
    );
  fc.assert(
    fc.property(fc.array(anyRun, { maxLength: 8 }), fc.constantFrom<RunOrder['by']>('name', 'create_time', 'priority'), (runs, by) => {
      const shown = ({ id, createMs, priority }: RunFacts) =>
        by === 'name' ? id : `${by === 'priority' ? priority : ''} ${createMs} ${id}`;
      const sorted = (descending: boolean) =>
        [...runs]
          .sort((a, b) => compareKeys({ by, descending }, orderKey({ by, descending }, a), orderKey({ by, descending }, b)))
          .map(shown);
      assert.deepEqual(sorted(true), [...sorted(false)].reverse());
      const byHand = [...runs].sort(
        (a, b) =>
          (by === 'priority' ? a.priority - b.priority : 0) ||
          (by === 'name' ? 0 : a.createMs - b.createMs) ||
          (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
      );
      assert.deepEqual(sorted(false), byHand.map(shown));
    }),
  );
});
