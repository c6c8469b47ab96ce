// node scripts/check-packed.mjs FOLDER [TARBALL]: packs this folder (unless TARBALL is given), checks that the package holds no test code and nothing that
// only a clone needs, installs it in the new folder FOLDER and starts its services. Ends with 1 where anything of that fails.
//
// Where `npm run build:prebuilt` has built the addon of this platform, its package is packed and installed too, and all of it happens with a PATH that has
// Node and npm but neither a compiler nor CMake, and ends with the quick demo. Otherwise the installation compiles the addon.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageName, platformName, prebuiltFolder, unfit } from './native/prebuilt.mjs';
import { root } from './test-suites.mjs';

/** Paths in the package that only a clone needs. */
const UNWANTED =
  /\.test\.|(^|\/)(test|test-data|bench|ref)\/|\.tsbuildinfo$|^scripts\/(?!build-(native|collectives)\.mjs$|native\/)|^libs\/(collectives\/)?native\/.*\.ts$|^libs\/native\/build\//;
/** Paths without which the package does not work. */
const NEEDED = [
  'bin/dropstream.js',
  'dist/services/cli/main.js',
  'dist/services/trainer/main.js',
  'libs/collectives/native/CMakeLists.txt',
  'libs/native/CMakeLists.txt',
  'libs/protocol/descriptors.binpb',
  'proto/dropstream/v1/trainer.proto',
  'scripts/build-collectives.mjs',
  'scripts/build-native.mjs',
  'scripts/native/prebuilt.mjs',
  'services/gateway/console/dist/index.html',
  'services/gateway/console/report/dist/report.html',
];

class CheckFailed extends Error {}

function run(command, args, cwd, { capture = false, env = process.env } = {}) {
  const { status, signal, stdout, error } = spawnSync(command, args, {
    cwd,
    env,
    encoding: 'utf8',
    timeout: 600_000,
    maxBuffer: 1 << 26,
    stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'],
  });
  if (status !== 0) throw new CheckFailed(`${command} ${args.join(' ')} ended with ${error?.message ?? status ?? signal}`);
  return stdout;
}

/** Packs `packed` into `folder`. @returns the tarball */
function pack(folder, packed = root) {
  // Scripts of the package write to stdout too: the report is the last array.
  const output = run('npm', ['pack', '--json', '--pack-destination', folder, packed], root, { capture: true });
  const reported = JSON.parse(output.slice(output.search(/^[[{]$/m)));
  const [{ filename }] = Array.isArray(reported) ? reported : Object.values(reported);
  return join(folder, filename);
}

/** An environment whose PATH has Node, npm and a shell with what their scripts use, and nothing that compiles. */
function withoutCompiler(folder) {
  const bin = join(folder, '.bin');
  mkdirSync(bin, { recursive: true });
  const folders = [dirname(process.execPath), ...process.env.PATH.split(delimiter)];
  for (const name of ['node', 'npm', 'npx', 'sh', 'env', 'uname']) {
    const found = folders.map((each) => join(each, name)).find((path) => existsSync(path));
    if (found !== undefined) symlinkSync(found, join(bin, name));
  }
  return { ...process.env, PATH: bin, CC: undefined, CXX: undefined, DROPSTREAM_NATIVE: undefined, DROPSTREAM_PREBUILT: undefined };
}

/** The package of the prebuilt addon for this platform, if it was built from these sources. */
function prebuiltHere() {
  const folder = prebuiltFolder(platformName());
  return existsSync(join(folder, 'package.json')) && unfit(folder) === undefined ? folder : undefined;
}

function checkList(tarball) {
  const files = run('tar', ['-tzf', tarball], root, { capture: true })
    .trim()
    .split('\n')
    .map((path) => path.replace(/^package\//, ''));
  const unwanted = files.filter((path) => UNWANTED.test(path));
  if (unwanted.length > 0)
    throw new CheckFailed(`the package contains files that only a clone needs:\n  ${unwanted.slice(0, 20).join('\n  ')}`);
  const missing = NEEDED.filter((path) => !files.includes(path));
  if (missing.length > 0) throw new CheckFailed(`the package lacks ${missing.join(', ')}`);
  console.log(`the package contains ${files.length} files and no tests`);
}

/** The package's public faces load. */
async function checkFaces(folder) {
  const require = createRequire(join(folder, 'package.json'));
  for (const face of ['dropstream/schedule', 'dropstream/client', 'dropstream/protocol/trainer']) {
    await import(pathToFileURL(require.resolve(face)).href);
    console.log(`imports ${face}`);
  }
}

/** The formats that worker threads decode: compiled code starts its workers in another way than a clone does. */
async function checkDecoders(folder) {
  const { decode, readHeader } = await import(pathToFileURL(join(folder, 'node_modules/dropstream/dist/libs/native/pixels.js')).href);
  for (const name of ['lossless.webp', 'pal.gif', 'rgb.bmp', 'rgb-tiff_lzw.tif', 'rgb.ppm']) {
    const bytes = readFileSync(join(root, 'libs/native/pixels/foreign/test-data', name));
    const { width, height, format } = readHeader(bytes);
    const { rgb } = await decode({ format, bytes, width, height });
    if (rgb.length !== 3 * width * height) throw new CheckFailed(`${name} decodes to ${rgb.length} bytes`);
  }
  console.log('worker threads decode WebP, GIF, BMP, TIFF and PPM');
}

/** `dropstream up` starts every service and ends well. */
function checkUp(folder, env) {
  const up = spawn(join(folder, 'node_modules/.bin/dropstream'), ['up', '--json'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((resolvePromise, reject) => {
    const failed = (why) => {
      up.kill('SIGKILL');
      reject(new CheckFailed(why));
    };
    const timer = setTimeout(() => failed('dropstream up printed no addresses within 60 s'), 60_000);
    let output = '';
    up.stdout.on('data', (chunk) => {
      output += chunk;
      if (!/trainer/.test(output) || !/\}\s*$/.test(output)) return;
      clearTimeout(timer);
      console.log('dropstream up started every service');
      up.kill('SIGTERM');
    });
    up.on('exit', (code) => {
      clearTimeout(timer);
      if (code === 0) resolvePromise();
      else failed(`dropstream up ended with ${code}`);
    });
  });
}

/** Where npm runs no install scripts, the addon is the one of the platform's package. */
function checkWithoutScripts(folder, env) {
  const copy = join(folder, 'node_modules/dropstream/libs/native/build/Release/dropstream.node');
  if (!existsSync(copy)) throw new CheckFailed('the installation did not take the prebuilt addon');
  rmSync(copy);
  const script = `import { loadAddon } from ${JSON.stringify(pathToFileURL(join(folder, 'node_modules/dropstream/dist/libs/native/addon.js')).href)};
    console.log('${packageName(platformName())} serves without the copy:', loadAddon().engineInfo().isa, loadAddon().pixelsInfo().jpeg);`;
  run(process.execPath, ['--input-type=module', '-e', script], folder, { env });
}

const [target, given] = process.argv.slice(2);
if (target === undefined) {
  console.error('usage: node scripts/check-packed.mjs FOLDER [TARBALL]');
  process.exit(2);
}
try {
  const folder = resolve(target);
  mkdirSync(folder, { recursive: true });
  const tarball = given === undefined ? pack(folder) : resolve(given);
  checkList(tarball);
  writeFileSync(join(folder, 'package.json'), '{ "name": "empty-folder", "private": true }\n');
  const prebuilt = prebuiltHere();
  const env = prebuilt === undefined ? process.env : withoutCompiler(folder);
  const tarballs = [tarball, ...(prebuilt === undefined ? [] : [pack(folder, prebuilt)])];
  const began = Date.now();
  run('npm', ['install', '--omit=dev', '--no-audit', '--no-fund', ...tarballs], folder, { env });
  console.log(
    `npm install took ${Math.round((Date.now() - began) / 1000)} s${prebuilt === undefined ? '' : ', without a compiler in PATH'}`,
  );
  run('npx', ['--no-install', 'dropstream', '--version'], folder, { env });
  run('npx', ['--no-install', 'dropstream', 'doctor'], folder, { env });
  await checkFaces(folder);
  await checkDecoders(folder);
  await checkUp(folder, env);
  if (prebuilt !== undefined) {
    checkWithoutScripts(folder, env);
    run('npx', ['--no-install', 'dropstream', 'demo', '--quick'], folder, { env });
  }
} catch (error) {
  if (!(error instanceof CheckFailed)) throw error;
  console.error(`check-packed: ${error.message}`);
  process.exitCode = 1;
}
