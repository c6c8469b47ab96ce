// Builds the addon for several workers on one run, where Gloo is installed: libs/native/build/collectives/Release/dropstream_collectives.node. Runs as npm's
// install script after build-native.mjs. Where Gloo is missing, or of another version than is known, it says so and succeeds: everything else works.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { run, versionOf } from './native/commands.mjs';
import { neededFolder, root } from './native/sources.mjs';

const source = join(root, 'libs', 'collectives', 'native');
const shared = join(root, 'libs', 'native', 'binding');
const build = join(root, 'libs', 'native', 'build', 'collectives');
const addon = join(build, 'Release', 'dropstream_collectives.node');
const stampFile = join(build, 'stamp');

/** Ends well, without the addon: one of a build before this one would be of other sources or another Gloo. */
function without(reason, details = '') {
  rmSync(addon, { force: true });
  if (details) console.log(details);
  console.log(`dropstream: ${reason}, so one worker trains each run here; everything else works`);
  process.exit(0);
}

function hashSources() {
  const hash = createHash('sha256');
  const own = readdirSync(source, { recursive: true })
    .filter((name) => /\.(cc|h)$|^CMakeLists\.txt$/.test(name) && !name.startsWith('bench/'))
    .sort()
    .map((name) => join(source, name));
  for (const file of [...own, join(shared, 'values.cc'), join(shared, 'values.h')])
    hash.update(`${file.slice(root.length)}\0`).update(readFileSync(file));
  return hash.digest('hex');
}

/** Which file the last build was linked to, and when that was changed. */
function linkedGloo() {
  try {
    const [, library] = /^GLOO_LIBRARY:FILEPATH=(.*)$/m.exec(readFileSync(join(build, 'CMakeCache.txt'), 'utf8')) ?? [];
    const file = realpathSync(library);
    return `${file} ${statSync(file).mtimeMs}`;
  } catch {
    return undefined;
  }
}

/** CXX, which may carry arguments or a launcher, or the first compiler that is there. */
function findCompiler() {
  const asked = process.env.CXX;
  for (const command of asked ? [asked] : ['c++', 'g++', 'clang++']) {
    const version = versionOf(command.split(' ')[0]);
    if (version) return { command: asked ? undefined : command, version };
  }
  return undefined;
}

if (process.env.DROPSTREAM_NATIVE === 'prebuilt') without('DROPSTREAM_NATIVE is prebuilt, and there is no prebuilt addon with Gloo');
const [compiler, cmake] = [findCompiler(), versionOf('cmake')];
if (compiler === undefined || cmake === undefined) without('there is no CMake or no C++17 compiler for the addon with Gloo');
const stamp = [hashSources(), `node-api-8 ${process.platform}-${process.arch}`, compiler.version, cmake].join('\n');
const current = () => `${stamp}\n${linkedGloo()}`;
if (!process.argv.includes('--force') && existsSync(addon) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === current()) {
  console.log('dropstream: the addon with Gloo is up to date');
  process.exit(0);
}

// What the cache says may be of another folder, or from before Gloo was installed or removed; there is little to compile.
rmSync(build, { recursive: true, force: true });
mkdirSync(build, { recursive: true });
const configured = await run('cmake', [
  ...['-S', source, '-B', build, '-DCMAKE_BUILD_TYPE=Release'],
  `-DNODE_API_INCLUDE_DIR=${join(neededFolder('node-api-headers'), 'include')}`,
  ...(compiler.command ? [`-DCMAKE_CXX_COMPILER=${compiler.command}`] : []),
]);
if (configured.code !== 0) without('the addon with Gloo could not be configured', configured.log.slice(-4000));
if (/^-- dropstream: Gloo was not found$/m.test(configured.log))
  without('Gloo was not found (Debian, Ubuntu: apt-get install libgloo-dev)');
if (!/^-- dropstream: Gloo at \S+$/m.test(configured.log))
  without('the Gloo that is installed is of another version than is known (0.5.0 of Debian 12)');
const built = await run('cmake', ['--build', build, '--parallel', '2'], { progress: 'compiling the addon with Gloo' });
if (built.code !== 0) without('the addon with Gloo did not compile', built.log.slice(-6000));
writeFileSync(stampFile, current());
console.log(`dropstream: built ${relative(root, addon)} in ${Math.round(configured.seconds + built.seconds)} s`);
