// What the scripts that build native code share: the compiler, the dependencies' folders, running a command. npm's install script uses it, so it needs
// only what package.json's dependencies bring.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

export const INSTALL_HINT = `Dropstream compiles its kernels on your machine and needs CMake (3.16 or newer) and a C++17 compiler.
  Debian, Ubuntu:  sudo apt-get install cmake g++ make nasm
  Fedora, RHEL:    sudo dnf install cmake gcc-c++ make nasm
  Alpine:          apk add cmake g++ make nasm linux-headers
  macOS:           xcode-select --install && brew install cmake
Then run npm ci (or npm run build) again. CXX=/path/to/c++ chooses another compiler.`;

export function fail(message) {
  console.error(`\ndropstream: ${message}\n`);
  process.exit(1);
}

/** First line of `command --version`, or undefined where the command is not there. */
export function versionOf(command) {
  const result = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: 20_000 });
  return result.status === 0 ? result.stdout.split('\n')[0].trim() : undefined;
}

export function findCompiler() {
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

/** Folder of a dependency, wherever npm put it (beside us, or hoisted above us). */
export function packageFolder(name) {
  const require = createRequire(join(root, 'package.json'));
  for (const folder of require.resolve.paths(name) ?? []) {
    if (existsSync(join(folder, name, 'package.json'))) return join(folder, name);
  }
  return fail(`the npm package ${name} is not installed; run npm ci in ${root}`);
}

/** Runs a command; shows its own output only where it fails, and a line now and then so that nobody wonders. */
export function run(command, args, progress) {
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

/** A cache made in another folder (a copied or packed tree) makes CMake refuse; the build folder holds nothing worth keeping. */
export function removeForeignCache(source, build) {
  const cache = join(build, 'CMakeCache.txt');
  if (existsSync(cache) && !readFileSync(cache, 'utf8').includes(`CMAKE_HOME_DIRECTORY:INTERNAL=${source}\n`))
    rmSync(build, { recursive: true });
}
