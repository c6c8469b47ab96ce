// npm run coverage [-- ARGUMENTS of scripts/run-tests.mjs]: runs tests (the suite `core` unless told) with V8's coverage of libs/ and services/, in this
// process and in those that tests start, and prints one figure: lines that ran. Writes coverage/coverage-summary.json.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './test-suites.mjs';

const folder = join(root, 'coverage');
rmSync(folder, { recursive: true, force: true });
const c8 = [
  'c8',
  '--all',
  '--src=libs',
  '--src=services',
  '--include=libs/**/*.ts',
  '--include=services/**/*.ts',
  '--exclude=**/*.test.ts',
  '--exclude=libs/protocol/**',
  '--reporter=json-summary',
  '--reporter=html',
  `--reports-dir=${folder}`,
];
const { status } = spawnSync('npx', ['--no-install', ...c8, process.execPath, 'scripts/run-tests.mjs', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
});
const { lines, functions } = JSON.parse(readFileSync(join(folder, 'coverage-summary.json'), 'utf8')).total;
console.log(
  `coverage: ${lines.pct} % of the lines (${lines.covered} of ${lines.total}), ${functions.pct} % of the functions; coverage/index.html has each file`,
);
process.exitCode = status ?? 1;
