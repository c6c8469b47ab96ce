// Runs the tools that build the addon.
import { spawn, spawnSync } from 'node:child_process';

/** First line of `command --version`, or undefined where the command is not there. */
export function versionOf(command) {
  const result = spawnSync(command, ['--version'], { encoding: 'utf8', timeout: 20_000 });
  return result.status === 0 ? result.stdout.split('\n')[0].trim() : undefined;
}

/** Runs a command and keeps what it writes; shows a line now and then if `progress` names the work, so that nobody wonders. */
export function run(command, args, { progress, env = {} } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
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
