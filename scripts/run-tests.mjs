// npm test [-- --suite NAME | --all | PATH…]: test files on Node's test runner: those of the suite `core`, of another suite of
// scripts/test-suites.mjs, all of them, or those whose path contains an argument.
// Closes with what was skipped and why, then one line of counts. With CI=true a skip that scripts/expected-skips.mjs does not allow fails the run.
// DROPSTREAM_TEST_COUNTS names a file that gets the counts as one more line of JSON.
import { spawn } from 'node:child_process';
import { appendFileSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unexpected } from './expected-skips.mjs';
import { filesBySuite, root } from './test-suites.mjs';

function fail(message) {
  console.error(`run-tests: ${message}`);
  process.exit(2);
}

function chosenFiles() {
  const suites = filesBySuite();
  const { values, positionals } = parseArgs({ options: { suite: { type: 'string' }, all: { type: 'boolean' } }, allowPositionals: true });
  const all = Object.values(suites).flat().sort();
  if (values.all) return all;
  if (positionals.length > 0) return all.filter((file) => positionals.some((part) => file.includes(part)));
  const name = values.suite ?? 'core';
  return suites[name] ?? fail(`--suite: ${JSON.stringify(name)} is not one of ${Object.keys(suites).join(', ')}`);
}

const files = chosenFiles();
if (files.length === 0) fail(`no test file matches ${process.argv.slice(2).join(', ')}`);

const summary = join(tmpdir(), `dropstream-tests-${process.pid}.json`);
const runner = spawn(
  process.execPath,
  [
    '--conditions=source',
    '--import=tsx',
    '--test',
    // Services, MinIO and compute threads run inside tests: more files at once than this would only make them wait for each other.
    '--test-concurrency=2',
    '--test-timeout=600000',
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    `--test-reporter=${new URL('./test-summary.mjs', import.meta.url).href}`,
    `--test-reporter-destination=${summary}`,
    ...files,
  ],
  { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { DROPSTREAM_GPU_TUNING: 'none', ...process.env, NODE_ENV: 'test' } },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal));

const titled = (title, lines) => lines.length > 0 && console.log(`\n${title}:\n${lines.map((line) => `  ${line}`).join('\n')}`);

runner.on('exit', (code) => {
  const { passed, failed, skipped } = JSON.parse(readFileSync(summary, 'utf8'));
  rmSync(summary);
  titled(
    'Skipped',
    skipped.map(({ name, why }) => `${name}: ${why}`),
  );
  const surprises = process.env.CI === 'true' ? unexpected(skipped) : [];
  titled(
    'Skipped without a row in scripts/expected-skips.mjs',
    surprises.map(({ name, why }) => `${name}: ${why}`),
  );
  titled('Failed', failed);
  if (process.env.DROPSTREAM_TEST_COUNTS) {
    const counts = { passed, failed: failed.length, skipped: skipped.length };
    appendFileSync(process.env.DROPSTREAM_TEST_COUNTS, `${JSON.stringify(counts)}\n`);
  }
  console.log(`\n${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
  process.exit(code === 0 && failed.length === 0 && surprises.length === 0 && passed > 0 ? 0 : 1);
});
