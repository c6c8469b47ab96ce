// Installs optional peer dependencies, in the versions of package.json, for setup:webgpu and setup:tensorflow.
//
// Nothing is saved: package.json and package-lock.json stay as they are. But npm install takes away what neither of them nor its arguments name. So
// its arguments are the package that is asked for and all other optional peers that are there. It also unpacks those again, without what
// setup:tensorflow has put into their folders, so these folders step aside meanwhile.
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const MINUTE_MS = 60_000;

const { peerDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** The version that is installed: the lowest one that package.json allows. */
export const peerVersion = (name) => peerDependencies[name].replace(/^\^/, '');
export const peerFolder = (name) => join(root, 'node_modules', name);

/** The version in node_modules; undefined if the package is not there. */
export function installedVersion(name) {
  const file = join(peerFolder(name), 'package.json');
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : undefined;
}

/** Installs one peer without running its install script, and keeps the others. @throws Error with one sentence */
export async function installPeer(asked) {
  if (!existsSync(join(root, 'node_modules'))) throw new Error('node_modules is missing: run npm ci first');
  const others = Object.keys(peerDependencies).filter((name) => name !== asked && installedVersion(name) === peerVersion(name));
  const aside = mkdtempSync(join(root, 'node_modules', '.setup-peers-'));
  for (const [index, name] of others.entries()) renameSync(peerFolder(name), join(aside, String(index)));
  try {
    await npmInstall([asked, ...others].map((name) => `${name}@${peerVersion(name)}`));
  } finally {
    for (const [index, name] of others.entries()) {
      rmSync(peerFolder(name), { recursive: true, force: true });
      mkdirSync(dirname(peerFolder(name)), { recursive: true });
      renameSync(join(aside, String(index)), peerFolder(name));
    }
    rmSync(aside, { recursive: true });
  }
  if (installedVersion(asked) !== peerVersion(asked)) throw new Error(`npm install left no ${asked} ${peerVersion(asked)} in node_modules`);
}

async function npmInstall(packages) {
  // --save-prod because package.json lists the packages as optional peers, which npm install would otherwise leave out without a word.
  const flags = ['--no-save', '--save-prod', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const ended = await new Promise((resolve) => {
    const child = spawn('npm', ['install', ...flags, ...packages], { cwd: root, timeout: 15 * MINUTE_MS, stdio: 'inherit' });
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code, signal) => resolve(code ?? signal));
  });
  if (ended !== 0) throw new Error(`npm install ${packages.join(' ')} ended with ${ended}`);
}
