// npm run test:sanitize [-- address|thread]: the kernel tests, C++ alone, under AddressSanitizer with UndefinedBehaviorSanitizer, then under
// ThreadSanitizer, on every instruction set that this CPU has. Each has a build folder of its own, so a second run only compiles what changed.
// Prints which paths ran; ends with 1 where a sanitizer or a check reports anything. Needs what the addon needs, and the compiler's sanitizers.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dropForeignCache } from './native/foreign-cache.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'libs', 'native');
const MINUTE_MS = 60_000;

const sanitizers = {
  address: {
    title: 'AddressSanitizer and UndefinedBehaviorSanitizer',
    // Casts of floats that do not fit are undefined too, though not part of `undefined`. Reports go on, so that one run shows all of them.
    flags: '-fsanitize=address,undefined,float-cast-overflow -fsanitize-recover=undefined,float-cast-overflow',
    env: { ASAN_OPTIONS: 'detect_stack_use_after_return=1:strict_init_order=1', UBSAN_OPTIONS: 'print_stacktrace=1' },
  },
  thread: {
    title: 'ThreadSanitizer',
    flags: '-fsanitize=thread',
    env: { TSAN_OPTIONS: 'second_deadlock_stack=1:history_size=4' },
  },
};
const report = /runtime error: |ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|FATAL: ThreadSanitizer|ERROR: LeakSanitizer/g;

/** Runs to the end; what the command writes goes on as `show` says. @returns exit status and everything it wrote */
function run(command, args, { timeout, env = {}, show = false }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { timeout, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => {
        output = (output + text).slice(-4_000_000);
        if (show) process.stdout.write(text);
      });
    }
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ status: code ?? signal, output }));
  });
}

async function must(command, args, timeout) {
  const { status, output } = await run(command, args, { timeout });
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with ${status}:\n${output.slice(-4000)}`);
}

async function build(name, flags) {
  const folder = join(source, 'build', `sanitize-${name}`);
  dropForeignCache(folder);
  const configure = [
    '-DDROPSTREAM_ADDON=OFF',
    '-DDROPSTREAM_TESTS=ON',
    '-DCMAKE_BUILD_TYPE=Sanitize',
    `-DCMAKE_CXX_FLAGS_SANITIZE=-O1 -g1 -fno-omit-frame-pointer ${flags}`,
  ];
  await must('cmake', ['-S', source, '-B', folder, ...configure], MINUTE_MS);
  await must('cmake', ['--build', folder, '--parallel', String(Math.min(availableParallelism(), 16))], 25 * MINUTE_MS);
  return join(folder, 'Release', 'dropstream_kernel_tests');
}

/** @returns what went wrong, or undefined */
async function sanitize(name) {
  const { title, flags, env } = sanitizers[name];
  const began = Date.now();
  const tests = await build(name, flags);
  const built = Date.now();
  console.log(`${title}: ${relative(root, tests)}, built in ${Math.round((built - began) / 1000)} s`);
  // gcc's ThreadSanitizer refuses the address layouts of newer kernels unless they are fixed.
  const fixed = name === 'thread' && existsSync('/usr/bin/setarch') ? ['/usr/bin/setarch', '-R'] : [];
  const [command, ...args] = [...fixed, tests];
  const { status, output } = await run(command, args, { timeout: 10 * MINUTE_MS, env, show: true });
  const reports = output.match(report)?.length ?? 0;
  const paths = [...output.matchAll(/^(\w+): \d+ checks, 0 failed$/gm)].map(([, path]) => path);
  console.log(
    `${title}: ${reports} reports, exit ${status}, paths ${paths.join(', ') || 'none'}, ${Math.round((Date.now() - built) / 1000)} s`,
  );
  if (status === 0 && reports === 0 && paths.length > 0) return undefined;
  return `${title}: ${reports} reports, exit ${status}, clean paths: ${paths.join(', ') || 'none'}`;
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(sanitizers, name));
if (unknown !== undefined) {
  console.error(`test:sanitize: ${unknown} is not one of ${Object.keys(sanitizers).join(', ')}`);
  process.exit(2);
}
const failures = [];
for (const name of asked.length > 0 ? asked : Object.keys(sanitizers)) {
  try {
    failures.push(await sanitize(name));
  } catch (error) {
    failures.push(`${name}: ${error.message}`);
  }
}
const failed = failures.filter((failure) => failure !== undefined);
for (const failure of failed) console.error(`test:sanitize: ${failure}`);
process.exitCode = failed.length > 0 ? 1 : 0;
