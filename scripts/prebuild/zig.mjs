// Zig, which brings clang, libc++ and the headers of many C libraries: from DROPSTREAM_ZIG, or PyPI's package `ziglang` in a cache folder.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run, versionOf } from '../native/commands.mjs';
import { root } from '../native/sources.mjs';

const VERSION = '0.15.2';

/** @returns the zig program */
export async function findZig() {
  if (process.env.DROPSTREAM_ZIG) return process.env.DROPSTREAM_ZIG;
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'dropstream', `ziglang-${VERSION}`);
  const zig = join(folder, 'ziglang', 'zig');
  if (existsSync(zig)) return zig;
  if (!versionOf('python3'))
    throw new Error('Zig is installed by python3 -m pip, and python3 was not found; DROPSTREAM_ZIG can name a zig program instead');
  console.log(`prebuild: installing ziglang ${VERSION} into ${folder}`);
  const pip = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--no-deps', '--target', folder, `ziglang==${VERSION}`];
  const { code, log } = await run('python3', pip);
  if (code !== 0) throw new Error(`python3 ${pip.join(' ')} ended with ${code}:\n${log.slice(-2000)}`);
  return zig;
}

export const zigVersion = (zig) => spawnSync(zig, ['version'], { encoding: 'utf8', timeout: 20_000 }).stdout.trim();

/** Writes the programs that CMake calls for one target. @returns CMake's options and the environment that both need */
export function toolchain(zig, { target, cpu, processor }, folder) {
  mkdirSync(folder, { recursive: true });
  const script = join(root, 'scripts', 'prebuild', 'zig-tool.sh');
  for (const tool of ['cc', 'c++', 'ar', 'ranlib'])
    writeFileSync(join(folder, `zig-${tool}`), `#!/bin/sh\nexec ${JSON.stringify(script)} ${tool} "$@"\n`, { mode: 0o755 });
  return {
    options: [
      '-DCMAKE_SYSTEM_NAME=Linux',
      `-DCMAKE_SYSTEM_PROCESSOR=${processor}`,
      `-DCMAKE_C_COMPILER=${join(folder, 'zig-cc')}`,
      `-DCMAKE_CXX_COMPILER=${join(folder, 'zig-c++')}`,
      `-DCMAKE_AR=${join(folder, 'zig-ar')}`,
      `-DCMAKE_RANLIB=${join(folder, 'zig-ranlib')}`,
      '-DCMAKE_MODULE_LINKER_FLAGS=-s',
    ],
    env: {
      DROPSTREAM_ZIG: zig,
      DROPSTREAM_ZIG_TARGET: target,
      DROPSTREAM_ZIG_CPU: cpu,
      ...(versionOf('ccache') ? cacheOf(zig, target, script) : {}),
    },
  };
}

/** How ccache knows this compiler: by what it does, because the program that CMake calls is a new file in every clone. */
function cacheOf(zig, target, script) {
  const wrapper = createHash('sha256').update(readFileSync(script)).digest('hex').slice(0, 16);
  return {
    CMAKE_C_COMPILER_LAUNCHER: 'ccache',
    CMAKE_CXX_COMPILER_LAUNCHER: 'ccache',
    CCACHE_COMPILERTYPE: 'clang',
    CCACHE_COMPILERCHECK: `string:zig ${zigVersion(zig)} ${target} ${wrapper}`,
    CCACHE_BASEDIR: process.env.CCACHE_BASEDIR ?? root,
    CCACHE_NOHASHDIR: process.env.CCACHE_NOHASHDIR ?? '1',
  };
}
