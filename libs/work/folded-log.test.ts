import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { backOffMs } from './back-off.js';
import { type EventLog, FoldedLog, TooManyCollisions } from './folded-log.js';

/** Records in memory, with a turn of the event loop before every answer. */
class MemoryLog implements EventLog<string> {
  readonly records: string[] = [];
  async *read(after: number) {
    for (let sequence = after + 1; sequence <= this.records.length; sequence++) {
      await new Promise((done) => setImmediate(done));
      yield { sequence, event: this.records[sequence - 1]! };
    }
  }
  async tryAppend(sequence: number, event: string) {
    await new Promise((done) => setImmediate(done));
    if (sequence <= this.records.length) return false;
    assert.equal(sequence, this.records.length + 1, 'never past the end');
    this.records.push(event);
    return true;
  }
}
const join = (view: string | undefined, event: string): string => `${view ?? ''}${event}`;

test('any number of writers make one history, and each decided with all of it in view', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 6 }), async (counts) => {
      const log = new MemoryLog();
      const writers = counts.map(() => new FoldedLog({ log, apply: join }));
      await Promise.all(
        writers.flatMap((writer, w) => Array.from({ length: counts[w]! }, () => writer.append((view) => `${w}:${(view ?? '').length};`))),
      );
      const all = log.records.join('');
      let seen = 0;
      for (const record of log.records) {
        assert.equal(Number(record.slice(0, -1).split(':')[1]), seen);
        seen += record.length;
      }
      for (const writer of writers) assert.equal(await writer.refresh(), all);
    }),
    { numRuns: 30 },
  );
});

test('a decision may change its mind after a collision', async () => {
  const log = new MemoryLog();
  const [first, second] = [new FoldedLog({ log, apply: join }), new FoldedLog({ log, apply: join })];
  await first.append(() => 'claimed by 1;');
  const view = await second.append((seen) => (seen === undefined ? 'claimed by 2;' : undefined));
  assert.equal(view, 'claimed by 1;');
  await assert.rejects(
    second.append((seen) => {
      throw new Error(`lost: ${seen}`);
    }),
    /lost: claimed by 1/,
  );
  assert.equal(log.records.length, 1);
});

test('a snapshot stands in for what it folds', async () => {
  const log = new MemoryLog();
  log.records.push('a', 'b', 'c');
  const folded = new FoldedLog({ log, apply: join, snapshot: { sequence: 2, view: 'AB' } });
  assert.equal(await folded.refresh(), 'ABc');
  assert.equal(folded.sequence, 3);
});

test('an append that never gets through gives up', async () => {
  const log: EventLog<string> = { read: async function* () {}, tryAppend: async () => false };
  await assert.rejects(
    new FoldedLog({ log, apply: join, maxCollisions: 3 }).append(() => 'x'),
    TooManyCollisions,
  );
});

test('waits double up to their limit', () => {
  const policy = { firstMs: 100, maxMs: 1000, maxAttempts: 5 };
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 60].map((n) => backOffMs(policy, n)),
    [0, 100, 200, 400, 800, 1000, 1000],
  );
});
