// Puts the native addon into libs/native/build/Release/dropstream.node: a prebuilt one that contains exactly these sources, if there is one, or else
// one that is compiled now. Runs as npm's install script, so it is plain JavaScript, needs only what package.json's dependencies bring, and never fetches
// anything. Skips when the stamp (sources, compiler, Node ABI) is current.
//
// DROPSTREAM_NATIVE=compile (or npm install --build-from-source) always compiles, DROPSTREAM_NATIVE=prebuilt never does. --force compiles again.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { run, versionOf } from './native/commands.mjs';
import { dropForeignCache } from './native/foreign-cache.mjs';
import { findPrebuilt, usePrebuilt } from './native/prebuilt.mjs';
import {
  addon,
  build,
  hashContents,
  hashNumerics,
  hashSources,
  jpegSource,
  jpegVersion,
  neededFolder,
  root,
  source,
} from './native/sources.mjs';

const stampFile = join(build, 'stamp');
/** Folders in the build folder that other scripts fill. */
const ofOthers = new Set(['collectives', 'prebuilt']);
const force = process.argv.includes('--force');

const INSTALL_HINT = `Where no prebuilt addon fits, Dropstream compiles its kernels on your machine, which needs CMake (3.16 or newer) and a C++17 compiler.
  Debian, Ubuntu:  sudo apt-get install cmake g++ make nasm
  Fedora, RHEL:    sudo dnf install cmake gcc-c++ make nasm
  Alpine:          apk add cmake g++ make nasm linux-headers
  macOS:           xcode-select --install && brew install cmake
Then run npm ci (or npm run build) again. CXX=/path/to/c++ chooses another compiler.`;

function fail(message) {
  console.error(`\ndropstream: ${message}\n`);
  process.exit(1);
}

/** What DROPSTREAM_NATIVE or npm's option asks for. */
function wanted() {
  const asked = process.env.DROPSTREAM_NATIVE ?? '';
  if (!['', 'compile', 'prebuilt'].includes(asked)) fail(`DROPSTREAM_NATIVE is "${asked}", must be compile or prebuilt`);
  if (asked === '' && ['true', '1'].includes(process.env.npm_config_build_from_source ?? '')) return 'compile';
  return force ? 'compile' : asked;
}

function findCompiler(otherwise) {
  const asked = process.env.CXX;
  if (asked) {
    // CXX may carry arguments or a launcher ("ccache g++"); CMake splits it itself, so only the first word is tried here.
    const version = versionOf(asked.split(' ')[0]);
    if (!version) fail(`CXX is "${asked}", which does not run.\n${INSTALL_HINT}`);
    return { command: undefined, version };
  }
  for (const command of ['c++', 'g++', 'clang++']) {
    const version = versionOf(command);
    if (version) return { command, version };
  }
  return fail(`${otherwise}, and no C++ compiler was found.\n${INSTALL_HINT}`);
}

const currentStamp = () => (existsSync(addon) && existsSync(stampFile) ? readFileSync(stampFile, 'utf8') : undefined);

/** @returns the stamp of a prebuilt addon, which is now in place, or why there is none */
function takePrebuilt() {
  const { platform, folder, reasons } = findPrebuilt();
  if (folder === undefined)
    return `no prebuilt addon for ${platform} contains these sources${reasons.map((reason) => ` (${reason})`).join('')}`;
  const began = Date.now();
  mkdirSync(build, { recursive: true });
  rmSync(stampFile, { force: true });
  usePrebuilt(folder);
  writeFileSync(stampFile, prebuiltStamp());
  console.log(`dropstream: took the prebuilt addon for ${platform} in ${Date.now() - began} ms`);
  return undefined;
}
const prebuiltStamp = () => `prebuilt ${hashContents()} ${process.platform}-${process.arch}`;

async function compile(otherwise) {
  const cmakeVersion = versionOf('cmake');
  if (!cmakeVersion) fail(`${otherwise}, and CMake was not found.\n${INSTALL_HINT}`);
  const compiler = findCompiler(otherwise);
  const sources = hashSources();
  const stamp = [
    sources,
    `node-api-8 ${process.platform}-${process.arch} modules-${process.versions.modules}`,
    compiler.version,
    cmakeVersion,
    // Which JPEG decoder is built hangs on these two.
    `nasm ${versionOf('nasm') ?? 'none'}`,
    `jpeg-turbo ${jpegVersion()}`,
  ].join('\n');
  if (!force && currentStamp() === stamp) return console.log('dropstream: native addon is up to date');

  // Objects that another build folder made already come from the cache, where there is one.
  const launcher = !process.env.CMAKE_CXX_COMPILER_LAUNCHER && versionOf('ccache') ? 'ccache' : undefined;
  const options = [
    `-DCMAKE_BUILD_TYPE=Release`,
    `-DNODE_API_INCLUDE_DIR=${join(neededFolder('node-api-headers'), 'include')}`,
    `-DDROPSTREAM_JPEG_SOURCE=${jpegSource()}`,
    `-DDROPSTREAM_BUILD_ID=${sources.slice(0, 16)} ${compiler.version.replaceAll(/[";\\]/g, '')}`,
    `-DDROPSTREAM_NUMERICS_ID=${hashNumerics()}`,
    ...(compiler.command ? [`-DCMAKE_CXX_COMPILER=${compiler.command}`] : []),
    ...(launcher ? [`-DCMAKE_C_COMPILER_LAUNCHER=${launcher}`, `-DCMAKE_CXX_COMPILER_LAUNCHER=${launcher}`] : []),
  ];
  dropForeignCache(build, ofOthers);
  // A prebuilt addon would look newer to make than the objects.
  if (currentStamp()?.startsWith('prebuilt ') || force) rmSync(addon, { force: true });
  mkdirSync(build, { recursive: true });
  rmSync(stampFile, { force: true });

  console.log(`dropstream: building the native addon (${compiler.version}; about a minute)`);
  // The cache knows a file by its content and place below the package, so that any folder finds what another one made.
  const env = launcher ? { CCACHE_BASEDIR: process.env.CCACHE_BASEDIR ?? root, CCACHE_NOHASHDIR: process.env.CCACHE_NOHASHDIR ?? '1' } : {};
  const configured = await run('cmake', ['-S', source, '-B', build, ...options], { env });
  if (configured.code !== 0) fail(`CMake could not configure the native addon:\n${configured.log.slice(-4000)}\n${INSTALL_HINT}`);
  for (const line of configured.log.split('\n')) if (line.startsWith('-- dropstream: ')) console.log(line.slice(3));
  const jobs = String(Math.min(availableParallelism(), 16));
  const built = await run('cmake', ['--build', build, '--parallel', jobs], { progress: 'compiling', env });
  if (built.code !== 0) fail(`the native addon did not compile:\n${built.log.slice(-6000)}`);
  writeFileSync(stampFile, stamp);
  console.log(`dropstream: built ${relative(root, addon)} in ${Math.round(configured.seconds + built.seconds)} s`);
}

try {
  if (process.platform === 'win32') fail('the native addon is not built on Windows; use WSL 2 or a container.');
  const mode = wanted();
  // What was compiled here from these sources stays, so that nobody measures another compiler's code unawares.
  if (mode === 'compile' || (mode === '' && currentStamp()?.startsWith(hashSources()))) await compile('the addon is to be compiled');
  else if (currentStamp() === prebuiltStamp()) console.log('dropstream: native addon is up to date (prebuilt)');
  else {
    const why = takePrebuilt();
    if (why !== undefined && mode === 'prebuilt') fail(why);
    if (why !== undefined) await compile(why);
  }
} catch (error) {
  fail(error.message);
}
