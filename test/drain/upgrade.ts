/**
 * npm run test:upgrade: a system of an earlier version is replaced by this one, process by process, over MinIO, while runs are trained and evaluated and
 * callers call.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { shake } from './shaken-fleet.js';

const usage = `npm run test:upgrade -- [--from TAG | --folder FOLDER]

Starts the services of an earlier version, and replaces every process by one of this version, in the order of docs/deploying.md. Meanwhile runs are trained
and evaluated, and callers call every service. The last line is one JSON object; the exit status is 1 if a call failed that may be repeated within its
deadline, if a run differs from the one that the earlier version trained alone or did a step twice, or if a process did not end in order.

  --from TAG       the earlier version, which is cloned from this repository and built; default v0.2.0
  --folder FOLDER  a clone of the earlier version that is built already`;

const { values } = parseArgs({
  options: { from: { type: 'string', default: 'v0.2.0' }, folder: { type: 'string' }, help: { type: 'boolean', default: false } },
});
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Clones and builds a version. */
function build(tag: string, folder: string): void {
  console.error(`building ${tag} in ${folder}`);
  const run = (program: string, argv: string[], cwd: string): void =>
    void execFileSync(program, argv, { cwd, stdio: ['ignore', 'ignore', 'inherit'] });
  run('git', ['clone', '--quiet', '--branch', tag, root, folder], root);
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], folder);
}

async function upgrade(folder: string): Promise<void> {
  const earlier = join(folder, 'bin', 'dropstream.js');
  if (!existsSync(earlier)) throw new Error(`--folder is ${folder}, must be a clone of an earlier version that is built`);
  await shake((fleet) => fleet.upgrade(), earlier);
}

if (values.help) console.log(usage);
else if (values.folder !== undefined) await upgrade(values.folder);
else {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-earlier-'));
  try {
    build(values.from, join(folder, values.from));
    await upgrade(join(folder, values.from));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
