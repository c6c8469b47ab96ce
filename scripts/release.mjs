// npm run release [-- --dry-run]: makes the release that package.json's version names, from a clean main whose CHANGELOG.md has a section for it.
//   1. checks the working tree, the version, the tag and the changelog
//   2. runs .ci/run, which also packs the package and starts it in an empty folder; with --dry-run only that part, and nothing more
//   3. stores the protos' descriptors, which buf breaking compares with from now on, and commits them
//   4. tags v<version>
//   5. writes the package, its lists of contents (CycloneDX, SPDX), its provenance and their hashes to release/ (see release-papers.mjs)
// It publishes and pushes nothing: the last line says how.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './test-suites.mjs';

const BASELINE = 'libs/protocol/baseline.binpb';

class ReleaseRefused extends Error {}

function run(command, args, { capture = false } = {}) {
  const { status, stdout, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'],
  });
  if (status !== 0) throw new ReleaseRefused(`${command} ${args.join(' ')} ended with ${error?.message ?? status}`);
  return stdout?.trim();
}
const git = (...args) => run('git', args, { capture: true });

/** @returns the changelog's section of a version, which becomes the tag's message */
function sectionOf(version) {
  const sections = readFileSync(join(root, 'CHANGELOG.md'), 'utf8').split(/^## /m).slice(1);
  const section = sections.find((text) => text.split(/[\s\]]/, 1)[0].replace('[', '') === version);
  if (section === undefined) throw new ReleaseRefused(`CHANGELOG.md has no section "## ${version}": rename "## Unreleased"`);
  const body = section.slice(section.indexOf('\n')).trim();
  if (body === '') throw new ReleaseRefused(`CHANGELOG.md: the section ${version} is empty`);
  return body;
}

function check() {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)) throw new ReleaseRefused(`package.json: the version ${version} is not X.Y.Z`);
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  if (lock.version !== version)
    throw new ReleaseRefused(`package-lock.json has version ${lock.version}, package.json ${version}: run npm install`);
  const changed = git('status', '--porcelain');
  if (changed !== '') throw new ReleaseRefused(`the working tree has changes:\n${changed}`);
  const tag = `v${version}`;
  if (git('tag', '--list', tag) !== '') throw new ReleaseRefused(`the tag ${tag} is there already: raise the version in package.json`);
  return { tag, notes: sectionOf(version) };
}

function checkPacked() {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-release-'));
  try {
    run(process.execPath, ['scripts/check-packed.mjs', join(folder, 'packed')]);
    run(process.execPath, ['scripts/release-papers.mjs', join(folder, 'papers')]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  const { values } = parseArgs({ options: { 'dry-run': { type: 'boolean', default: false } } });
  const { tag, notes } = check();
  console.log(`release ${tag} of ${git('rev-parse', '--short', 'HEAD')}:\n${notes}\n`);
  if (values['dry-run']) {
    checkPacked();
    console.log(
      `${tag} could be made now (--dry-run: of .ci/run only the packed package was checked, and what belongs to a release was made; nothing was changed)`,
    );
  } else {
    run('.ci/run', []);
    run('npm', ['run', '-s', 'baseline']);
    if (git('status', '--porcelain', '--', BASELINE) !== '') {
      run('git', ['add', '--', BASELINE]);
      run('git', ['commit', '-q', '-m', `${tag}: buf breaking compares with this release's protos from now on`]);
    }
    run('git', ['tag', '-a', tag, '-m', `Dropstream ${tag}\n\n${notes}`]);
    run(process.execPath, ['scripts/release-papers.mjs', join('release', tag)]);
    console.log(
      `tagged ${tag}. To publish it: git push --follow-tags, and npm publish of every .tgz in release/${tag}, those of prebuilt addons first, with --provenance on a CI host that npm knows. Not of the folder: npm reads package.json again when it does not name those addons any more. release/${tag} goes with the tag`,
    );
  }
} catch (error) {
  if (!(error instanceof ReleaseRefused) && !error.code?.startsWith('ERR_PARSE_ARGS')) throw error;
  console.error(`release: ${error.message}`);
  process.exitCode = 1;
}
