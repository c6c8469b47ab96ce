/** `dropstream up` supervises its children: a killed worker's run goes on at once, because the successor knows that its predecessor is gone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Workspace } from '../support/training.js';
import type { Calm } from './check-run.js';
import { childServices, entry } from './fleet.js';
import { type KillsReport, quietKills } from './quiet-kills.js';
import type { System } from './system.js';

const START_MS = 90_000;
const KILLS = 3;

/** Kills the trainer during one run. Its lease is the usual one of 15 s, which nobody waits for. */
export async function killSupervised(system: System, workspace: Workspace, calm: Calm, signal: AbortSignal): Promise<KillsReport> {
  const { child, trainer } = await startUp(system, workspace);
  try {
    const kill = async (): Promise<void> => {
      const worker = childServices(child.pid!).get('trainer');
      if (worker === undefined) throw new Error('dropstream up has no trainer');
      process.kill(worker, 'SIGKILL');
    };
    const report = await quietKills({ runId: 'supervised', trainer, workspace, calm, count: KILLS, kill, signal });
    const { successions, recoveries, wrong } = report;
    if (successions < recoveries.length)
      wrong.push(`supervised: ${successions} claims say whom they succeed, after ${recoveries.length} kills`);
    await stopUp(child);
    const { exitCode, signalCode } = child;
    if (exitCode !== 0) wrong.push(`dropstream up, which was asked to end, ended with ${signalCode ?? exitCode}; see its log`);
    return report;
  } finally {
    await stopUp(child);
  }
}

async function startUp(system: System, workspace: Workspace): Promise<{ child: ChildProcess; trainer: string }> {
  const store = await system.storeFor('up');
  const child = spawn(process.execPath, [entry, 'up', '--json', '--data-root', workspace.dataRoot, '--store', store], {
    cwd: workspace.folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...system.env, DROPSTREAM_HOME: join(system.folder, 'up') },
  });
  child.stderr.pipe(createWriteStream(join(system.logs, 'up.log')));
  const timer = setTimeout(() => child.kill('SIGKILL'), START_MS);
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const { services } = JSON.parse(line) as { services: { name: string; address: string }[] };
      return { child, trainer: services.find((one) => one.name === 'trainer')!.address };
    }
    throw new Error(`dropstream up did not start; see ${join(system.logs, 'up.log')}`);
  } finally {
    clearTimeout(timer);
  }
}

async function stopUp(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 40_000);
  await gone;
  clearTimeout(timer);
}
