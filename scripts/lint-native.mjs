// npm run lint:native [-- format|tidy]: our C++ against .clang-format and .clang-tidy; without a name, both. Needs clang-format and clang-tidy
// (14 or newer) and what the addon needs to be configured; nothing is compiled. Ends with 1 where a file is not as it should be, with 2 where
// a tool is missing or an argument is unknown.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dropForeignCache } from './native/foreign-cache.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, 'libs', 'native');
const build = join(source, 'build', 'lint');
const MINUTE_MS = 60_000;

// A kernel is compiled once per instruction set; one of them is checked, the first of these that it is compiled for.
const isas = ['amx', 'avx512_bf16', 'avx512', 'avx2', 'neon_bf16', 'neon', 'portable'];

function fail(status, message) {
  console.error(`lint:native: ${message}`);
  process.exit(status);
}

function need(tool) {
  if (spawnSync(tool, ['--version'], { timeout: 20_000 }).status !== 0)
    fail(2, `${tool} was not found; install it (Debian, Ubuntu: apt-get install ${tool})`);
}

function must(command, args, timeout) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8', timeout, maxBuffer: 1 << 26 });
  if (status !== 0) fail(1, `${command} ${args[0]} ended with ${status}: ${error?.message ?? `${stdout}${stderr}`.slice(-4000)}`);
  return stdout;
}

const sources = () =>
  must(
    'git',
    ['ls-files', 'libs/native/*.cc', 'libs/native/*.h', 'libs/collectives/*.cc', 'libs/collectives/*.h', 'test/fuzz/*.cc'],
    MINUTE_MS,
  )
    .split('\n')
    .filter((path) => existsSync(join(root, path)) && path !== '');

function format() {
  need('clang-format');
  const files = sources();
  const { status, stderr } = spawnSync('clang-format', ['--dry-run', '-Werror', ...files], {
    cwd: root,
    encoding: 'utf8',
    timeout: 5 * MINUTE_MS,
    maxBuffer: 1 << 26,
  });
  if (status === 0) return console.log(`lint:native: clang-format: ${files.length} files are formatted`) ?? true;
  const wrong = [...new Set([...stderr.matchAll(/^(\S+?):\d+:\d+: error: code should be clang-formatted/gm)].map(([, path]) => path))];
  console.error(`lint:native: clang-format would change ${wrong.length} files; run clang-format -i on them:\n  ${wrong.join('\n  ')}`);
  return false;
}

/** One compile command per source of ours. */
function compileCommands() {
  dropForeignCache(build);
  const options = [
    '-DCMAKE_BUILD_TYPE=Release',
    '-DDROPSTREAM_TESTS=ON',
    '-DDROPSTREAM_BENCH=ON',
    '-DDROPSTREAM_UNITY=OFF',
    `-DNODE_API_INCLUDE_DIR=${join(root, 'node_modules', 'node-api-headers', 'include')}`,
    `-DDROPSTREAM_JPEG_SOURCE=${join(root, 'node_modules', '@julusian', 'jpeg-turbo', 'deps', 'libjpeg-turbo')}`,
  ];
  must('cmake', ['-S', source, '-B', build, ...options], 2 * MINUTE_MS);
  const file = join(build, 'compile_commands.json');
  const chosen = new Map();
  const rank = ({ command }) => isas.indexOf(/-DDROPSTREAM_ISA=(\w+)/.exec(command)?.[1] ?? '') + 1 || 1;
  for (const entry of JSON.parse(readFileSync(file, 'utf8'))) {
    const path = relative(source, entry.file);
    if (path.startsWith('..') || path.startsWith('build')) continue;
    const other = chosen.get(entry.file);
    if (other === undefined || rank(entry) < rank(other)) chosen.set(entry.file, entry);
  }
  writeFileSync(file, JSON.stringify([...chosen.values()], null, 2));
  return [...chosen.keys()].sort();
}

function tidyOne(file) {
  return new Promise((resolve) => {
    // The commands are the compiler's own, which may be GCC: clang need not know all its options.
    const args = [
      '--quiet',
      '-p',
      build,
      '--extra-arg=-Wno-unknown-warning-option',
      '--extra-arg=-Wno-ignored-optimization-argument',
      file,
    ];
    const child = spawn('clang-tidy', args, { cwd: root, timeout: 5 * MINUTE_MS });
    let output = '';
    child.stdout.on('data', (text) => (output += text));
    child.stderr.resume(); // counts of suppressed warnings
    child.on('error', (error) => resolve(`${error}`));
    child.on('close', (code) => resolve(code === 0 ? undefined : output || `clang-tidy ended with ${code} on ${file}`));
  });
}

async function tidy() {
  need('cmake');
  need('clang-tidy');
  const files = compileCommands();
  const left = [...files];
  const failures = [];
  const work = async () => {
    for (let file = left.shift(); file !== undefined; file = left.shift()) {
      const failure = await tidyOne(file);
      if (failure !== undefined) failures.push(failure);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  for (const failure of failures) console.error(failure);
  console.log(`lint:native: clang-tidy: ${files.length} files, ${failures.length} with findings`);
  return failures.length === 0;
}

const checks = { format, tidy };
const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(checks, name));
if (unknown !== undefined) fail(2, `${unknown} is not one of ${Object.keys(checks).join(', ')}`);
let clean = true;
for (const name of asked.length > 0 ? asked : Object.keys(checks)) clean = (await checks[name]()) && clean;
process.exitCode = clean ? 0 : 1;
