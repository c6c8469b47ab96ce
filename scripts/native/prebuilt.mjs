// Prebuilt addons: what the package of a platform is called, and whether one that is here contains exactly these sources.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { addon, hashContents, packageFolder, root } from './sources.mjs';

/** For example linux-x64-gnu, linux-arm64-musl or darwin-arm64: which prebuilt addon this Node can load. */
export function platformName() {
  if (process.platform !== 'linux') return `${process.platform}-${process.arch}`;
  process.report.excludeNetwork = true; // a report would otherwise look up names of hosts
  return `linux-${process.arch}-${process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'}`;
}

export const packageName = (platform) => `@dropstream/native-${platform}`;

/** Where `npm run build:prebuilt` writes a platform's package. DROPSTREAM_PREBUILT names another folder of such packages. */
export const prebuiltFolder = (platform) => join(process.env.DROPSTREAM_PREBUILT || join(root, 'prebuilt'), platform);

const sha256Of = (path) => createHash('sha256').update(readFileSync(path)).digest('hex');

/** What package.json says of the addon beside it, or undefined where it cannot be read. */
function madeOf(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).dropstream;
  } catch {
    return undefined;
  }
}

/** Why the addon in `folder` cannot be used here, or undefined. `load`: also in a process of its own, so that a crash is only a reason. */
export function unfit(folder, { load = true } = {}) {
  const file = join(folder, 'dropstream.node');
  if (!existsSync(file)) return 'holds no addon';
  const made = madeOf(folder);
  if (made === undefined) return 'does not say what it was built from';
  if (made?.contents !== hashContents()) return 'was built from other sources';
  if (made.sha256 !== sha256Of(file)) return 'is damaged: its SHA-256 is not the one in its package.json';
  if (!load) return undefined;
  const { status, stderr } = spawnSync(process.execPath, ['-e', 'require(process.argv[1])', file], { encoding: 'utf8', timeout: 30_000 });
  return status === 0 ? undefined : `does not load: ${/Error: (.*)/.exec(stderr)?.[1] ?? `exit ${status}`}`;
}

/** The folder of the prebuilt addon for this machine and these sources, or undefined; and why others do not fit. */
export function findPrebuilt() {
  const platform = platformName();
  const reasons = [];
  for (const folder of [prebuiltFolder(platform), packageFolder(packageName(platform))]) {
    if (folder === undefined || !existsSync(join(folder, 'package.json'))) continue;
    const reason = unfit(folder);
    if (reason === undefined) return { platform, folder, reasons };
    reasons.push(`${folder} ${reason}`);
  }
  return { platform, folder: undefined, reasons };
}

/** Puts the addon of `folder` where it is loaded from. A process that has loaded the one before keeps it. */
export function usePrebuilt(folder) {
  mkdirSync(dirname(addon), { recursive: true });
  copyFileSync(join(folder, 'dropstream.node'), `${addon}.new`);
  renameSync(`${addon}.new`, addon);
}
