// npm run setup:webgpu: installs the npm package webgpu (Dawn), which the executor `webgpu` runs on, in the version that its kernels are tested with.
//
// Nothing is saved: package.json and package-lock.json stay as they are, and a later `npm ci` or `npm install` takes the package away again.
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { installedVersion, installPeer, peerFolder, peerVersion, root } from './install-peers.mjs';

const version = peerVersion('webgpu');
const folder = peerFolder('webgpu');
const MINUTE_MS = 60_000;

const say = (message) => console.log(`setup:webgpu: ${message}`);
const fail = (message, status) => {
  console.error(`setup:webgpu: ${message}`);
  process.exit(status);
};

/** Loads the package in a process of its own. @returns a line about the adapters, or the reason why it does not load */
function look() {
  const program = `
    const { create, globals } = await import('webgpu');
    Object.assign(globalThis, globals);
    const adapter = await create([]).requestAdapter().catch((error) => error);
    if (adapter instanceof Error || adapter === null) console.log('no adapter: the Vulkan loader (libvulkan.so.1) or a driver is missing; see docs/gpu.md');
    else console.log('adapter: ' + adapter.info.description + (adapter.info.isFallbackAdapter ? ', which computes on the CPU; set DROPSTREAM_GPU to a part of its name to use it' : ''));`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: root,
    timeout: 2 * MINUTE_MS,
    encoding: 'utf8',
  });
  return status === 0 ? { line: stdout.trim() } : { reason: stderr.trim().split('\n').slice(-8).join('\n') };
}

if (process.argv.length > 2) fail(`${process.argv[2]} is not an option; usage: npm run setup:webgpu`, 2);
if (installedVersion('webgpu') !== version) {
  say(`webgpu ${version} from npm, 51 MB to download, 137 MB installed`);
  await installPeer('webgpu').catch((error) => fail(error.message, 1));
}
const { line, reason } = look();
if (reason !== undefined) {
  rmSync(folder, { recursive: true, force: true });
  fail(`webgpu ${version} does not load here; it needs glibc 2.34 or later, macOS or Windows\n${reason}`, 1);
}
say(`webgpu ${version} is installed; ${line}`);
say('nothing was saved: after the next npm ci or npm install, run this again');
