/** Starts `dropstream demo` in a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { commandLineEntry, nodeOptions } from '../../services/cli/service-entry.js';

export function startDemo(home: string, ...argv: string[]) {
  const child = spawn(process.execPath, [...nodeOptions(), commandLineEntry, 'demo', ...argv], {
    env: { ...process.env, DROPSTREAM_HOME: home },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', (line) => lines.push(line));
  return { child, lines, exit: once(child, 'exit') as Promise<[number | null]> };
}

/** The result that a demo with `--json` has printed. */
export const demoResult = (lines: readonly string[]) =>
  JSON.parse(lines.find((line) => line.startsWith('{'))!) as { top1: number; run: string };
