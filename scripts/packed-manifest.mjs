// node scripts/packed-manifest.mjs write|restore: npm's scripts prepack and postpack. While the package is packed, package.json names the platform packages
// that `npm run build:prebuilt` has built from these sources as optional dependencies, of exactly this version. A clone's package.json never names them, because
// a lock file cannot hold packages that are built from the same commit, and a clone that has changes must not get them.
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageName, prebuiltFolder } from './native/prebuilt.mjs';
import { root } from './native/sources.mjs';
import { finishedPlatforms, platforms, unfinished } from './prebuild/platforms.mjs';

const manifest = join(root, 'package.json');
const kept = join(root, 'package.json.unpacked');

/** Puts back what a pack that was interrupted left. */
function restore() {
  if (existsSync(kept)) renameSync(kept, manifest);
}

function write() {
  restore();
  for (const name of Object.keys(platforms))
    if (existsSync(prebuiltFolder(name)) && unfinished(name) !== undefined)
      console.error(`packed-manifest: without ${name}, which ${unfinished(name)}`);
  const fitting = finishedPlatforms();
  if (fitting.length === 0) return;
  const text = readFileSync(manifest, 'utf8');
  const contents = JSON.parse(text);
  const optional = Object.fromEntries(fitting.map((name) => [packageName(name), contents.version]));
  writeFileSync(kept, text);
  writeFileSync(
    manifest,
    `${JSON.stringify({ ...contents, optionalDependencies: { ...contents.optionalDependencies, ...optional } }, null, 2)}\n`,
  );
}

const [action] = process.argv.slice(2);
if (action === 'write') write();
else if (action === 'restore') restore();
else {
  console.error('usage: node scripts/packed-manifest.mjs write|restore');
  process.exitCode = 2;
}
