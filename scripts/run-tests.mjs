// npm test: every *.test.ts under libs/, services/ and test/ (or those whose path contains an argument), on Node's test runner.
// Closes with what was skipped and why, then one line of counts.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const wanted = process.argv.slice(2);

const files = ['libs', 'services', 'test']
  .flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, file)))
  .filter((file) => file.endsWith('.test.ts') && !file.includes('node_modules'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .sort();
if (files.length === 0) {
  console.error(`no test file matches ${wanted.join(', ')}`);
  process.exit(2);
}

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
  { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, NODE_ENV: 'test' } },
);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => runner.kill(signal));

runner.on('exit', (code) => {
  const { passed, failed, skipped } = JSON.parse(readFileSync(summary, 'utf8'));
  rmSync(summary);
  if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map(({ name, why }) => `  ${name}: ${why}`).join('\n')}`);
  if (failed.length > 0) console.log(`\nFailed:\n${failed.map((name) => `  ${name}`).join('\n')}`);
  console.log(`\n${passed} passed, ${failed.length} failed, ${skipped.length} skipped`);
  process.exit(code === 0 && failed.length === 0 && passed > 0 ? 0 : 1);
});
