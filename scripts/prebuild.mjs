// npm run build:prebuilt [-- PLATFORM…]: builds the addon for platforms (scripts/prebuild/platforms.mjs; without a name, those of Linux) and writes a package for
// each to prebuilt/PLATFORM, which `npm pack ./prebuilt/PLATFORM` packs. Linux's are cross-compiled by Zig, with libjpeg-turbo and the C++ library inside,
// against an old C library; a Mac builds its own. Ends with 1 where one fails, is too large or asks for more than it may. x86-64 needs nasm.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { run, versionOf } from './native/commands.mjs';
import { dropForeignCache } from './native/foreign-cache.mjs';
import { packageName, platformName, prebuiltFolder, unfit } from './native/prebuilt.mjs';
import { build, hashContents, hashNumerics, hashSources, jpegSource, neededFolder, root, source } from './native/sources.mjs';
import { checkBinary } from './prebuild/check-binary.mjs';
import { loadUnderMusl } from './prebuild/load-musl.mjs';
import { GLIBC, platforms, unfinished } from './prebuild/platforms.mjs';
import { findZig, toolchain, zigVersion } from './prebuild/zig.mjs';

async function must(command, args, env) {
  const { code, log, seconds } = await run(command, args, { env, progress: 'compiling' });
  if (code !== 0) throw new Error(`${command} ${args[0]} ended with ${code}:\n${log.slice(-6000)}`);
  return { log, seconds };
}

/** Compiles for one platform. @returns the addon, and the compiler's name */
async function compile(name, platform) {
  const folder = join(build, `prebuild-${name}`);
  dropForeignCache(folder);
  mkdirSync(folder, { recursive: true });
  if (platform.target === undefined && name !== platformName())
    throw new Error(`${name} is built on such a machine only, and this is ${platformName()}`);
  const zig = platform.target === undefined ? undefined : await findZig();
  const cross = zig === undefined ? { options: platform.options, env: {} } : toolchain(zig, platform, join(folder, 'tools'));
  const compiler = zig === undefined ? versionOf('c++') : `zig ${zigVersion(zig)} ${platform.target}`;
  const options = [
    '-DCMAKE_BUILD_TYPE=Release',
    `-DNODE_API_INCLUDE_DIR=${join(neededFolder('node-api-headers'), 'include')}`,
    `-DDROPSTREAM_JPEG_SOURCE=${jpegSource()}`,
    '-DDROPSTREAM_JPEG=source',
    `-DDROPSTREAM_BUILD_ID=${hashSources().slice(0, 16)} ${compiler.replaceAll(/[";\\]/g, '')}`,
    `-DDROPSTREAM_NUMERICS_ID=${hashNumerics()}`,
    ...cross.options,
  ];
  const configured = await must('cmake', ['-S', source, '-B', folder, ...options], cross.env);
  if (!configured.log.includes('libjpeg-turbo with SIMD')) throw new Error(`${name}: libjpeg-turbo would have no SIMD; install nasm`);
  const built = await must('cmake', ['--build', folder, '--parallel', String(availableParallelism())], cross.env);
  const file = join(folder, 'Release', 'dropstream.node');
  const loads = name.endsWith('-musl') ? await loadUnderMusl(file, platform, join(folder, 'tools'), folder, cross.env) : undefined;
  return { file, compiler, loads, seconds: configured.seconds + built.seconds };
}

/** The licences of what is inside: ours, and libjpeg-turbo's, which binaries must come with. NOTICE names the C++ library. */
const papers = () => [
  ...['LICENSE', 'NOTICE'].map((paper) => [join(root, paper), paper]),
  [join(jpegSource(), 'LICENSE.md'), 'LICENSE.libjpeg-turbo.md'],
  [join(jpegSource(), 'README.ijg'), 'README.ijg'],
];

function writePackage(name, { file, compiler }) {
  const { version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const folder = prebuiltFolder(name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  copyFileSync(file, join(folder, 'dropstream.node'));
  for (const [from, to] of papers()) copyFileSync(from, join(folder, to));
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
  const contents = {
    name: packageName(name),
    version,
    description: `Dropstream's native addon for ${name}, which the package dropstream loads`,
    license,
    ...platforms[name].needs,
    main: 'dropstream.node',
    // npm keeps a package with a scope private otherwise.
    publishConfig: { access: 'public' },
    files: ['dropstream.node', ...papers().map(([, to]) => to)],
    dropstream: { contents: hashContents(), sha256, compiler },
  };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(contents, null, 2)}\n`);
  writeFileSync(
    join(folder, 'README.md'),
    `# ${contents.name}\n\n${contents.description}. Install \`dropstream\` instead of this package.\n`,
  );
  return folder;
}

async function prebuild(name) {
  if (unfinished(name) === undefined)
    return console.log(`prebuild: ${name}: ${relative(root, prebuiltFolder(name))} has these sources already`);
  const platform = platforms[name];
  const built = await compile(name, platform);
  const glibc = name.endsWith('-gnu') ? GLIBC : undefined;
  const { wrong, size, needs } = checkBinary(built.file, glibc);
  if (wrong.length > 0) throw new Error(`${name}: the addon ${wrong.join('; ')}`);
  const written = writePackage(name, built);
  if (name === platformName()) {
    const reason = unfit(written);
    if (reason !== undefined) throw new Error(`${name}: the addon ${reason}`);
  }
  const loaded = built.loads ?? (name === platformName() ? 'loads here' : 'not loaded here');
  console.log(
    `prebuild: ${name}: ${relative(root, written)}, ${(size / 1024 / 1024).toFixed(1)} MiB, needs ${needs}, ${loaded}, built in ${Math.round(built.seconds)} s`,
  );
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(platforms, name));
if (unknown !== undefined) {
  console.error(`prebuild: ${unknown} is not one of ${Object.keys(platforms).join(', ')}`);
  process.exit(2);
}
try {
  for (const name of asked.length > 0 ? asked : Object.keys(platforms).filter((platform) => platforms[platform].target))
    await prebuild(name);
} catch (error) {
  console.error(`prebuild: ${error.message}`);
  process.exitCode = 1;
}
