// The platforms that addons are prebuilt for, and how.
//
// `target` is Zig's: glibc 2.28 is that of Debian 10, RHEL 8 and Node 20's own binaries. macOS has none, because its headers may not be passed on: a Mac
// builds its own addon (.github/workflows/prebuilt.yml), which has not been tried yet.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { prebuiltFolder, unfit } from '../native/prebuilt.mjs';
import { root } from '../native/sources.mjs';

export const GLIBC = '2.28';

const linux = (arch, libc) => ({
  target: `${arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-${libc === 'gnu' ? `gnu.${GLIBC}` : 'musl'}`,
  cpu: arch === 'x64' ? 'x86_64' : 'generic',
  processor: arch === 'x64' ? 'x86_64' : 'aarch64',
  needs: { os: ['linux'], cpu: [arch], libc: [libc === 'gnu' ? 'glibc' : 'musl'] },
});

const darwin = (arch, processor) => ({
  options: [`-DCMAKE_OSX_ARCHITECTURES=${processor}`, '-DCMAKE_OSX_DEPLOYMENT_TARGET=13.0', '-DCMAKE_MODULE_LINKER_FLAGS=-Wl,-x'],
  needs: { os: ['darwin'], cpu: [arch] },
});

export const platforms = {
  'linux-x64-gnu': linux('x64', 'gnu'),
  'linux-arm64-gnu': linux('arm64', 'gnu'),
  'linux-x64-musl': linux('x64', 'musl'),
  'linux-arm64-musl': linux('arm64', 'musl'),
  'darwin-arm64': darwin('arm64', 'arm64'),
  'darwin-x64': darwin('x64', 'x86_64'),
};

const versionIn = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;

/** Why the package of a platform cannot go with the package of this folder, or undefined: it has these sources and this version. */
export function unfinished(platform) {
  const folder = prebuiltFolder(platform);
  if (!existsSync(join(folder, 'package.json'))) return 'is not built';
  if (versionIn(folder) !== versionIn(root)) return 'has another version';
  return unfit(folder, { load: false });
}

/** The platforms whose packages go with the package of this folder. */
export const finishedPlatforms = () => Object.keys(platforms).filter((platform) => unfinished(platform) === undefined);
