// npm test [-- --suite NAME | --all | PATH…]: test files on Node's test runner: those of the suite `core`, of another suite of
// scripts/test-suites.mjs, all of them, or those whose path contains an argument.
// Closes with what was skipped and why, then one line of counts. With CI=true a skip that scripts/expected-skips.mjs does not allow fails the run.
// Services that tests start as processes are those of dist/, which start twice as fast as the sources. For a suite, it is compiled where it is older than
// the sources; for single files, the sources are taken then. DROPSTREAM_TESTED=built or =sources decides, too.
// DROPSTREAM_TEST_COUNTS names a file that gets the counts as one more line of JSON.
import { spawn, spawnSync } from 'node:child_process';
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unexpected } from './expected-skips.mjs';
import { filesBySuite, root } from './test-suites.mjs';

function fail(message) {
  console.error(`run-tests: ${message}`);
  process.exit(2);
}

const { values, positionals } = parseArgs({ options: { suite: { type: 'string' }, all: { type: 'boolean' } }, allowPositionals: true });

function chosenFiles() {
  const suites = filesBySuite();
  const all = Object.values(suites).flat().sort();
  if (values.all) return all;
  if (positionals.length > 0) return all.filter((file) => positionals.some((part) => file.includes(part)));
  const name = values.suite ?? 'core';
  return suites[name] ?? fail(`--suite: ${JSON.stringify(name)} is not one of ${Object.keys(suites).join(', ')}`);
}

/** What `dropstream` is in the tests. @param compile whether dist/ may be compiled for that */
function whatIsTested(compile) {
  if (process.env.DROPSTREAM_TESTED !== undefined) return process.env.DROPSTREAM_TESTED;
  if (isBuilt()) return 'built';
  if (!compile) return 'sources';
  const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
    cwd: root,
    stdio: 'inherit',
  });
  if (status !== 0) fail('the sources could not be compiled');
  return 'built';
}

/** Whether dist/ was built after the last change of what it is built from. */
function isBuilt() {
  const modified = (path) => statSync(join(root, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const built = modified('dist/services/cli/main.js');
  const sources = ['libs', 'services'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, file)),
  );
  return sources.every(
    (file) => !file.endsWith('.ts') || file.endsWith('.test.ts') || file.includes('node_modules') || modified(file) < built,
  );
}

const files = chosenFiles();
if (files.length === 0) fail(`no test file matches ${process.argv.slice(2).join(', ')}`);

const tested = whatIsTested(positionals.length === 0);
console.log(`services that tests start: ${tested === 'built' ? 'those of dist/' : 'the sources'}`);
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
  {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { DROPSTREAM_GPU_TUNING: 'none', ...process.env, DROPSTREAM_TESTED: tested, NODE_ENV: 'test' },
  },
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
