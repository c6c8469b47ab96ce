import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { InvalidArgument } from '#errors/errors.js';
import { Run } from '#protocol/dropstream/v1/trainer.js';
import { appendLine, isSameRun, lineNotes, lineOf, readLines, type StudyLine } from './lines-file.js';
import { reportOf } from './study-report.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-lines-'));
after(() => rmSync(folder, { recursive: true }));

const line = (arm: string, seed: number, dropout: number, more: Partial<StudyLine> = {}): StudyLine => ({
  ...lineOf('s', Run.fromPartial({ uid: `${arm}${seed}`, spec: { dropout, seed: BigInt(seed) } }), {
    run: `s-${arm}-${seed}`,
    arm,
    seed: String(seed),
    state: 'SUCCEEDED',
    totalSteps: 10,
    fingerprint: 'native/fp32/x/y',
    curves: { train_loss: [2, 1 + dropout], final_train_loss: [undefined, 0.5 + dropout] },
  }),
  ...more,
});

test('lines are read as they were written', async () => {
  const path = join(folder, 'whole.jsonl');
  assert.deepEqual(await readLines('lines', path), []);
  const lines = [line('none', 1, 0), line('drop', 1, 0.5)];
  for (const one of lines) await appendLine('lines', path, one);
  const read = await readLines('lines', path);
  assert.deepEqual(
    read.map(({ last, curves }) => [last, curves]),
    lines.map(({ last, curves }) => [last, curves]),
  );
  const options = { baseline: 'none', anyFingerprint: false };
  assert.equal(JSON.stringify(reportOf('s', read, options)), JSON.stringify(reportOf('s', lines, options)));
});

test('a line that is none is named', async () => {
  const path = join(folder, 'lines.jsonl');
  for (const [text, rule] of [
    ['{"study":"s"', /lines\.jsonl:2/],
    ['null', /a line of `study evaluate --lines`/],
    ['{"study":"s"}', /a line of `study evaluate --lines`/],
    [JSON.stringify({ ...line('none', 1, 0), curves: { train_loss: 5 } }), /a line of `study evaluate --lines`/],
  ] as const) {
    await writeFile(path, `${JSON.stringify(line('none', 1, 0))}\n${text}\n`);
    await assert.rejects(readLines('lines', path), (error: Error) => error instanceof InvalidArgument && rule.test(error.message));
  }
});

test('a repetition is no new line unless the processor or the options are others', () => {
  const one = line('none', 1, 0);
  assert.ok(isSameRun(one, line('none', 1, 0, { uid: 'again' })));
  assert.ok(!isSameRun(one, line('none', 1, 0, { uid: 'again', fingerprint: 'native/fp32/z/y' })));
  assert.ok(!isSameRun(one, line('none', 1, 0.1, { uid: 'again' })));
});

test('one name for several processors or options is said in the report', () => {
  const lines = [line('none', 1, 0), line('none', 2, 0), line('drop', 1, 0.1), line('drop', 2, 0.2)];
  assert.deepEqual(lineNotes(lines), ['Runs of one arm have different options in: drop.']);
  assert.deepEqual(lineNotes(lines.slice(0, 3)), []);
  const moved = line('none', 1, 0, { uid: 'moved', fingerprint: 'native/fp32/z/y' });
  const { runs } = reportOf('s', [...lines, moved], { baseline: 'none', anyFingerprint: false });
  assert.deepEqual(
    runs.filter(({ compared }) => !compared).map(({ fingerprint }) => fingerprint),
    ['native/fp32/z/y'],
  );
});
