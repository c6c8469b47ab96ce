// Builds the native addon: libs/native/build/Release/dropstream.node. Runs as npm's install script, so it is plain JavaScript, needs only
// what package.json's dependencies bring, and never fetches anything. Skips when the stamp (sources, compiler, Node ABI) is current.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { fail, findCompiler, INSTALL_HINT, packageFolder, removeForeignCache, root, run, versionOf } from './native-tools.mjs';

const source = join(root, 'libs', 'native');
const build = join(source, 'build');
const addon = join(build, 'Release', 'dropstream.node');
const stampFile = join(build, 'stamp');
const force = process.argv.includes('--force');

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
removeForeignCache(source, build);
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
