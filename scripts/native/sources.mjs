// What the addon is made of: its sources in one order on every machine, and digests of them. Plain JavaScript, because npm's install script uses it.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const source = join(root, 'libs', 'native');
export const build = join(source, 'build');
export const addon = join(build, 'Release', 'dropstream.node');

/** Folder of a dependency, wherever npm put it (beside us, or hoisted above us), or undefined. */
export function packageFolder(name) {
  const require = createRequire(join(root, 'package.json'));
  return (require.resolve.paths(name) ?? []).map((folder) => join(folder, name)).find((folder) => existsSync(join(folder, 'package.json')));
}

/** Folder of a dependency that the addon cannot be built without. */
export function neededFolder(name) {
  const folder = packageFolder(name);
  if (folder === undefined) throw new Error(`the npm package ${name} is not installed; run npm ci in ${root}`);
  return folder;
}

export const jpegSource = () => join(neededFolder('@julusian/jpeg-turbo'), 'deps', 'libjpeg-turbo');
export const jpegVersion = () => JSON.parse(readFileSync(join(neededFolder('@julusian/jpeg-turbo'), 'package.json'), 'utf8')).version;

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

export function hashSources() {
  const hash = createHash('sha256');
  for (const file of sourceFiles(source)) {
    hash
      .update(`${relative(source, file)}\0`)
      .update(readFileSync(file))
      .update('\0');
  }
  return hash.digest('hex');
}

/** Of all that a prebuilt addon contains: ours, and libjpeg-turbo's. */
export const hashContents = () => createHash('sha256').update(`${hashSources()} jpeg-turbo ${jpegVersion()}`).digest('hex');

/**
 * Of what decides numbers: the kernels, how they are cut and ordered, and the compiler's flags for arithmetic. Comments and blank lines do not
 * count. This enters the numerics fingerprint of runs, unlike the stamp, which says whether the addon must be built again.
 */
export function hashNumerics() {
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
