// node scripts/release-papers.mjs FOLDER: what belongs to a release beside its tag, in FOLDER: the package, those of the prebuilt addons in prebuilt/, what
// users install with it (CycloneDX and SPDX, from the lock file, without development dependencies), where the package comes from (an in-toto statement with
// SLSA's provenance, not signed: `npm publish --provenance` on a CI host that npm knows signs one), and SHA256SUMS of all of them.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { prebuiltFolder } from './native/prebuilt.mjs';
import { finishedPlatforms } from './prebuild/platforms.mjs';
import { root } from './test-suites.mjs';

const output = (command, ...args) => outputIn(root, command, ...args);
function outputIn(cwd, command, ...args) {
  const { status, stdout, error } = spawnSync(command, args, { cwd, encoding: 'utf8', maxBuffer: 1 << 28, timeout: 600_000 });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${error?.message ?? status}`);
  return stdout.trim();
}
const sha256Of = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/**
 * What users install, from the lock file. npm's own --omit dev and --omit peer leave out packages that are also needed in another way, so the
 * dependencies of development are taken out of a copy. @param format cyclonedx or spdx
 */
export function sbomOf(format) {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-sbom-'));
  try {
    for (const file of ['package.json', 'package-lock.json']) copyFileSync(join(root, file), join(folder, file));
    outputIn(folder, 'npm', 'pkg', 'delete', 'devDependencies');
    outputIn(folder, 'npm', 'prune', '--package-lock-only', '--ignore-scripts', '--no-audit', '--no-fund');
    return outputIn(folder, 'npm', 'sbom', '--sbom-format', format, '--package-lock-only');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Where a package comes from, and how it was made. */
export function statementOf({ tarball, sha256, commit, lockSha256, repository, tools, startedOn, finishedOn }) {
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: tarball, digest: { sha256 } }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'npm pack',
        externalParameters: { repository, commit },
        internalParameters: tools,
        resolvedDependencies: [
          { uri: repository, digest: { gitCommit: commit } },
          { uri: 'package-lock.json', digest: { sha256: lockSha256 } },
        ],
      },
      runDetails: { builder: { id: 'scripts/release-papers.mjs' }, metadata: { startedOn, finishedOn } },
    },
  };
}

function write(folder) {
  mkdirSync(folder, { recursive: true });
  const startedOn = new Date().toISOString();
  const { name, version, repository } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const before = new Set(readdirSync(folder));
  output('npm', 'pack', '--pack-destination', folder);
  const tarball = readdirSync(folder).find((file) => file.endsWith('.tgz') && (!before.has(file) || file.includes(version)));
  for (const platform of finishedPlatforms()) output('npm', 'pack', '--pack-destination', folder, prebuiltFolder(platform));
  for (const [format, ending] of [
    ['cyclonedx', 'cdx'],
    ['spdx', 'spdx'],
  ])
    writeFileSync(join(folder, `${name}-${version}.${ending}.json`), `${sbomOf(format)}\n`);
  const statement = statementOf({
    tarball,
    sha256: sha256Of(join(folder, tarball)),
    commit: output('git', 'rev-parse', 'HEAD'),
    lockSha256: sha256Of(join(root, 'package-lock.json')),
    repository: repository?.url ?? `the repository of ${name}`,
    tools: { node: process.version, npm: output('npm', '--version'), platform: `${process.platform}-${process.arch}` },
    startedOn,
    finishedOn: new Date().toISOString(),
  });
  writeFileSync(join(folder, `${name}-${version}.provenance.json`), `${JSON.stringify(statement, undefined, 2)}\n`);
  const files = readdirSync(folder).filter((file) => file !== 'SHA256SUMS' && file.includes(version));
  writeFileSync(
    join(folder, 'SHA256SUMS'),
    files
      .sort()
      .map((file) => `${sha256Of(join(folder, file))}  ${file}\n`)
      .join(''),
  );
  return files;
}

if (process.argv[1] === import.meta.filename) {
  const folder = process.argv[2];
  if (folder === undefined) throw new Error('release-papers: give the folder to write to');
  console.log(`in ${resolve(folder)}: ${write(resolve(folder)).join(', ')}, SHA256SUMS`);
}
