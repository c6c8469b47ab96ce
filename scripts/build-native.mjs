// Builds the native addon: libs/native/build/Release/dropstream.node. Runs as npm's install script, so it is plain JavaScript, needs only
// what package.json's dependencies bring, and never fetches anything. Skips when the stamp (sources, compiler, Node ABI) is current.
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'libs', 'native');
const build = join(source, 'build');
const addon = join(build, 'Release', 'dropstream.node');
const stampFile = join(build, 'stamp');
const force = process.argv.includes('--force');

const INSTALL_HINT = `Dropstream compiles its kernels on your machine and needs CMake (3.16 or newer) and a C++17 compiler.
  Debian, Ubuntu:  sudo apt-get install cmake g++ make nasm
  Fedora, RHEL:    sudo dnf install cmake gcc-c++ make nasm
  Alpine:          apk add cmake g++ make nasm linux-headers
  macOS:           xcode-select --install && brew install cmake
Then run npm ci (or npm run build) again. CXX=/path/to/c++ chooses another compiler.`;

function fail(message) {
  console.error(`\ndropstream: ${message}\n`);
  process.exit(1);
}

/** First line of `command --version`, or undefined where the command is not there. */
function versionOf(command) {
  const result = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: 20_000 });
  return result.status === 0 ? result.stdout.split('\n')[0].trim() : undefined;
}

function findCompiler() {
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
  return fail(`no C++ compiler found.\n${INSTALL_HINT}`);
}

/** Files that make the addon, in one order on every machine. */
function sourceFiles(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return path === build || ['ref', 'test', 'bench'].includes(relative(source, path)) ? [] : sourceFiles(path);
      return /\.(cc|h|def|cmake)$|^CMakeLists\.txt$/.test(entry.name) ? [path] : [];
    });
}

function hashSources() {
  const hash = createHash('sha256');
  for (const file of sourceFiles(source)) {
    hash
      .update(`${relative(source, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  }
  return hash.digest('hex');
}

/**
 * Of what decides numbers: the kernels, how they are cut and ordered, and the compiler's flags for arithmetic. Comments and blank lines do not
 * count. This enters the numerics fingerprint of runs, unlike the stamp, which says whether the addon must be built again.
 */
function hashNumerics() {
  const decides =
    /^(kernels\/.*|simd\/.*|random\/.*|vm\/(program|step|randomness|spec|gradient-sums|run-[a-z]+)\.(cc|h)|threads\/pieces\.h|CMakeLists\.txt)$/;
  const hash = createHash('sha256');
  for (const file of sourceFiles(source)) {
    const name = relative(source, file);
    if (!decides.test(name)) continue;
    const lines = readFileSync(file, 'utf8')
      .split('\n')
      .map((line) => line.replace(/(^|\s)\/\/.*/, '').trim())
      // Of CMake's files only how kernels are compiled; files of the binding come and go.
      .filter((line) => line !== '' && (!/CMakeLists\.txt$|\.cmake$/.test(name) || /(^|[\s({"])-[fmO]\w/.test(line)));
    hash.update(`${name}\0${lines.join('\n')}\0`);
  }
  return hash.digest('hex').slice(0, 16);
}

/** Folder of a dependency, wherever npm put it (beside us, or hoisted above us). */
function packageFolder(name) {
  const require = createRequire(join(root, 'package.json'));
  for (const folder of require.resolve.paths(name) ?? []) {
    if (existsSync(join(folder, name, 'package.json'))) return join(folder, name);
  }
  return fail(`the npm package ${name} is not installed; run npm ci in ${root}`);
}

/** Runs a command; shows its own output only where it fails, and a line now and then so that nobody wonders. */
function run(command, args, progress) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let log = '';
    const started = Date.now();
    let shown = started;
    const listen = (chunk) => {
      log = (log + chunk).slice(-200_000);
      const percent = /\[\s*(\d+%)\]|\[(\d+\/\d+)\]/g;
      const last = [...String(chunk).matchAll(percent)].pop();
      if (progress && last && Date.now() - shown > 10_000) {
        shown = Date.now();
        console.log(`dropstream: ${progress} ${last[1] ?? last[2]}`);
      }
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.on('error', (error) => resolve({ code: 1, log: `${error}` }));
    child.on('close', (code) => resolve({ code: code ?? 1, log, seconds: (Date.now() - started) / 1000 }));
  });
}

if (process.platform === 'win32') fail('the native addon is not built on Windows; use WSL 2 or a container.');
const cmakeVersion = versionOf('cmake');
if (!cmakeVersion) fail(`CMake was not found.\n${INSTALL_HINT}`);
const compiler = findCompiler();
const sources = hashSources();
const stamp = [
  sources,
  `node-api-8 ${process.platform}-${process.arch} modules-${process.versions.modules}`,
  compiler.version,
  cmakeVersion,
  // Which JPEG decoder is built hangs on these two.
  `nasm ${versionOf('nasm') ?? 'none'}`,
  `jpeg-turbo ${JSON.parse(readFileSync(join(packageFolder('@julusian/jpeg-turbo'), 'package.json'), 'utf8')).version}`,
].join('\n');
if (!force && existsSync(addon) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) {
  console.log('dropstream: native addon is up to date');
  process.exit(0);
}

const options = [
  `-DCMAKE_BUILD_TYPE=Release`,
  `-DNODE_API_INCLUDE_DIR=${join(packageFolder('node-api-headers'), 'include')}`,
  `-DDROPSTREAM_JPEG_SOURCE=${join(packageFolder('@julusian/jpeg-turbo'), 'deps', 'libjpeg-turbo')}`,
  `-DDROPSTREAM_BUILD_ID=${sources.slice(0, 16)} ${compiler.version.replaceAll(/[";\\]/g, '')}`,
  `-DDROPSTREAM_NUMERICS_ID=${hashNumerics()}`,
  ...(compiler.command ? [`-DCMAKE_CXX_COMPILER=${compiler.command}`] : []),
];
const cache = join(build, 'CMakeCache.txt');
// A cache made in another folder (a copied or packed tree) makes CMake refuse; the build folder holds nothing worth keeping.
if (existsSync(cache) && !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${source}\n`))
  rmSync(build, { recursive: true });
mkdirSync(build, { recursive: true });
rmSync(stampFile, { force: true });

console.log(`dropstream: building the native addon (${compiler.version}; about a minute)`);
const configured = await run('cmake', ['-S', source, '-B', build, ...options]);
if (configured.code !== 0) fail(`CMake could not configure the native addon:\n${configured.log.slice(-4000)}\n${INSTALL_HINT}`);
for (const line of configured.log.split('\n')) if (line.startsWith('-- dropstream: ')) console.log(line.slice(3));
const jobs = String(Math.min(availableParallelism(), 16));
const built = await run('cmake', ['--build', build, '--parallel', jobs], 'compiling');
if (built.code !== 0) fail(`the native addon did not compile:\n${built.log.slice(-6000)}`);
writeFileSync(stampFile, stamp);
console.log(`dropstream: built ${relative(root, addon)} in ${Math.round(configured.seconds + built.seconds)} s`);
