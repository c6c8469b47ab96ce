// node scripts/check-image.mjs [--target cpu|gpu] [--tag NAME]: builds the image of deploy/Dockerfile with buildah, says what it adds to its base, checks
// what is in it and what is not, and trains a run inside: as user 1000, with a read-only file system and without privileges. Ends with 1 where anything
// of that fails, and with 3 where the tools are missing. Needs root on Linux, buildah and runc; where no registry of images can be reached, also
// debootstrap (scripts/image/assemble-base.sh).
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './test-suites.mjs';

const BASE = 'docker.io/library/node:24-bookworm-slim';
/** What the image may add to its base, in MB. */
const MOST_MB = { cpu: 90, gpu: 700 };
/** What no image has: compilers, tools of development, tests. */
const UNWANTED =
  /^usr\/bin\/(gcc|g\+\+|c\+\+|cc|make|cmake|ld|nasm|ccache|python3)|\.test\.[jt]s$|^app\/(dist\/)?(test|scripts)\/|^app\/node_modules\/(typescript|tsx|esbuild|@biomejs|@types|knip|playwright-core|axe-core)\/|\.d\.ts$/;
const MINUTE_MS = 60_000;

class CheckFailed extends Error {}

function run(command, args, { capture = false, timeout = 5 * MINUTE_MS, cwd = root } = {}) {
  const { status, signal, stdout, error } = spawnSync(command, args, {
    cwd,
    encoding: 'utf8',
    timeout,
    maxBuffer: 1 << 28,
    stdio: ['ignore', capture ? 'pipe' : 'inherit', 'inherit'],
  });
  if (status !== 0) throw new CheckFailed(`${command} ${args.slice(0, 4).join(' ')} … ended with ${error?.message ?? status ?? signal}`);
  return stdout?.trim();
}
const has = (command, ...args) => spawnSync(command, args, { stdio: 'ignore', timeout: MINUTE_MS }).status === 0;

/** The base is in buildah's storage afterwards. */
function ensureBase() {
  if (has('buildah', 'inspect', '--type', 'image', BASE)) return;
  if (has('buildah', 'pull', '--quiet', BASE)) return;
  console.log(`${BASE} cannot be pulled here: a stand-in is assembled`);
  run('scripts/image/assemble-base.sh', [BASE], { timeout: 15 * MINUTE_MS });
}

function build(target, tag) {
  const files = ['--file', 'deploy/Dockerfile', '--ignorefile', 'deploy/Dockerfile.dockerignore'];
  const how = ['--isolation', 'chroot', '--layers', '--pull-never', '--format', 'docker'];
  run('buildah', ['build', '--quiet', ...how, ...files, '--target', target, '--tag', tag, '.'], { timeout: 40 * MINUTE_MS });
}

/** A file system of the image, for as long as `use` takes. */
async function mounted(image, use) {
  const container = run('buildah', ['from', '--pull-never', image], { capture: true });
  try {
    return await use(run('buildah', ['mount', container], { capture: true }));
  } finally {
    run('buildah', ['rm', container], { capture: true });
  }
}

/** Bytes of all files, each counted once. */
const bytesOf = (folder) => Number(run('du', ['-s', '--block-size=1', '--apparent-size', folder], { capture: true }).split('\t')[0]);
const filesOf = (folder) =>
  run('find', ['.', '-xdev', '-not', '-type', 'd', '-printf', '%P\\n'], { capture: true, cwd: folder }).split('\n');

function checkConfig(tag) {
  const { Docker } = JSON.parse(run('buildah', ['inspect', '--type', 'image', tag], { capture: true }));
  const { User, Entrypoint, Labels } = Docker.config;
  if (User !== '1000:1000') throw new CheckFailed(`the user is ${User}, must be 1000:1000`);
  if (!Labels['org.opencontainers.image.licenses']) throw new CheckFailed('there is no label for the licence');
  return Entrypoint;
}

function checkFiles(folder, baseFolder) {
  const base = new Set(filesOf(baseFolder));
  const own = filesOf(folder).filter((path) => !base.has(path));
  const unwanted = own.filter((path) => UNWANTED.test(path) && !path.startsWith('app/node_modules/webgpu/'));
  if (unwanted.length > 0) throw new CheckFailed(`the image has what it does not need:\n  ${unwanted.slice(0, 20).join('\n  ')}`);
  const writable = run('find', ['app', '-not', '-user', 'root', '-o', '-perm', '/022', '-not', '-type', 'l'], {
    capture: true,
    cwd: folder,
  });
  if (writable !== '') throw new CheckFailed(`others than root may write ${writable.split('\n')[0]}`);
  const { components } = JSON.parse(readFileSync(join(folder, 'app/sbom.cdx.json'), 'utf8'));
  const names = new Set(components.map(({ group, name }) => (group ? `${group}/${name}` : name)));
  const installed = own.flatMap((path) => /^app\/node_modules\/((?:@[^/]+\/)?[^/]+)\/package\.json$/.exec(path)?.[1] ?? []);
  const unnamed = installed.filter((name) => !names.has(name) && name !== 'webgpu');
  if (unnamed.length > 0) throw new CheckFailed(`sbom.cdx.json does not name ${unnamed.join(', ')}`);
  console.log(`the image adds ${own.length} files and ${installed.length} packages, all named in sbom.cdx.json (${names.size})`);
}

/** What Kubernetes' standard `restricted` allows, and the chart asks for. */
function bundle(folder, rootfs, args) {
  const tmpfs = (destination) => ({ destination, type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'nodev', 'mode=1777', 'size=2g'] });
  const config = {
    ociVersion: '1.0.2',
    hostname: 'check',
    process: {
      args,
      cwd: '/tmp',
      env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'NODE_ENV=production', 'HOME=/tmp', 'DROPSTREAM_HOME=/tmp/dropstream'],
      user: { uid: 1000, gid: 1000 },
      noNewPrivileges: true,
      capabilities: {},
    },
    root: { path: rootfs, readonly: true },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
      tmpfs('/tmp'),
    ],
    // A network of its own, with nothing but loopback.
    linux: { namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })), maskedPaths: ['/proc/kcore'] },
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
}

function inContainer(rootfs, args, timeout = 5 * MINUTE_MS) {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-container-'));
  const name = `dropstream-check-${randomUUID()}`;
  try {
    bundle(folder, rootfs, args);
    const options = { cwd: folder, encoding: 'utf8', timeout, maxBuffer: 1 << 26, stdio: ['ignore', 'pipe', 'pipe'] };
    return spawnSync('runc', ['run', '--bundle', folder, name], options);
  } finally {
    spawnSync('runc', ['delete', '--force', name], { stdio: 'ignore', timeout: MINUTE_MS });
    rmSync(folder, { recursive: true, force: true });
  }
}

function train(rootfs, entrypoint) {
  const refused = inContainer(rootfs, ['node', '-e', "require('node:fs').writeFileSync('/app/x', '')"]);
  if (!/EROFS|EACCES/.test(refused.stderr)) throw new CheckFailed(`the file system is not read-only: ${refused.stderr}`);
  const began = performance.now();
  const { status, stdout, stderr } = inContainer(rootfs, [...entrypoint, 'demo', '--quick']);
  if (status !== 0) throw new CheckFailed(`the demo in the container ended with ${status}:\n${stdout}\n${stderr}`);
  console.log(stdout.trimEnd().split('\n').slice(-12).join('\n'));
  console.log(`a run trained in the container (${Math.round((performance.now() - began) / 1000)} s)`);
}

function checkDoctor(rootfs, entrypoint) {
  const { stdout, stderr } = inContainer(rootfs, [...entrypoint, 'doctor']);
  if (!/TensorFlow\.js is not installed/.test(stdout + stderr))
    throw new CheckFailed(`doctor does not say that TensorFlow.js is missing:\n${stdout}${stderr}`);
  if (!/several workers can train one run/.test(stdout)) throw new CheckFailed(`doctor does not find Gloo:\n${stdout}${stderr}`);
}

const { values } = parseArgs({
  options: { target: { type: 'string', default: 'cpu' }, tag: { type: 'string', default: 'localhost/dropstream:check' } },
});
const { target, tag } = values;
const missing = ['buildah', 'runc'].filter((tool) => !has(tool, '--version'));
if (missing.length > 0 || process.getuid?.() !== 0) {
  console.error(`check-image: ${missing.length > 0 ? `${missing.join(' and ')} cannot be found` : 'only root can mount images'}`);
  process.exit(3);
}
try {
  ensureBase();
  build(target, tag);
  const entrypoint = checkConfig(tag);
  await mounted(BASE, (baseFolder) =>
    mounted(tag, (folder) => {
      const megabytes = (bytesOf(folder) - bytesOf(baseFolder)) / 1e6;
      console.log(`the image ${target} adds ${megabytes.toFixed(1)} MB to its base, at most ${MOST_MB[target]} MB`);
      if (!(megabytes <= MOST_MB[target])) throw new CheckFailed('the image is too large');
      checkFiles(folder, baseFolder);
      checkDoctor(folder, entrypoint);
      train(folder, entrypoint);
    }),
  );
} catch (error) {
  if (!(error instanceof CheckFailed)) throw error;
  console.error(`check-image: ${error.message}`);
  process.exitCode = 1;
}
