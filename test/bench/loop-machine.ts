/**
 * When the machine itself stands still. On a virtual machine, the host may stop a core, or all of them, for a tenth of a second: it fetches memory
 * that it had taken back, or the machine has used up its share of time. A process for each core, of the highest priority, notes when it was late
 * though it has next to nothing to do: other processes do not hold it up.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { sourceFlags } from '../support/processes.js';
import { type Late, monotonicMs, type PhaseDelay, type Span } from './loop-delay.js';

const everyMs = 2;
/** Shorter ones are left to the event loop's account. */
const leastMs = 3;

export interface MachineWatch {
  /** @returns when a core stood still, in milliseconds of `monotonicMs` */
  end(): Promise<Span[]>;
}

/** Watches every core. Undefined where that is not possible: it takes Linux, `taskset` and the right to raise a process's priority. */
export async function watchMachine(): Promise<MachineWatch | undefined> {
  const code = [...sourceFlags, fileURLToPath(import.meta.url)];
  const children = Array.from({ length: availableParallelism() }, (_, core) => {
    const command = ['-n', '-20', 'taskset', '-c', `${core}`, process.execPath, ...code];
    const child = spawn('nice', command, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const failed = new Promise<never>((_resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (status, signal) => reject(new Error(`the process that watches core ${core} ended with ${status ?? signal}`)));
    });
    failed.catch(() => undefined);
    return { child, failed };
  });
  const answers = () => Promise.all(children.map(({ child, failed }) => Promise.race([once(child, 'message'), failed])));
  try {
    await answers();
  } catch (error) {
    for (const { child } of children) child.kill();
    console.error(`the machine is not watched: ${(error as Error).message}`);
    return undefined;
  }
  return {
    async end() {
      const spans = answers();
      for (const { child } of children) child.send('end');
      return (await spans).flatMap(([found]) => found as Span[]);
    },
  };
}

/** The largest delay of a phase in milliseconds, without the time in which a core stood still. */
export function ownMaxMs({ maxMs }: PhaseDelay, lates: readonly Late[], stalls: readonly Span[]): number {
  if (lates.length === 0) return maxMs;
  const own = Math.max(...lates.map((late) => ownDelayMs(late, stalls)));
  return Math.round(10 * own) / 10;
}

function ownDelayMs({ from, to }: Late, stalls: readonly Span[]): number {
  let own = 0;
  let at = from;
  for (const stall of stalls.toSorted((a, b) => a.from - b.from)) {
    own += Math.max(0, Math.min(stall.from, to) - at);
    at = Math.max(at, Math.min(stall.to, to));
  }
  return own + Math.max(0, to - at);
}

async function watch(): Promise<void> {
  const stalls: Span[] = [];
  let last = monotonicMs();
  const timer = setInterval(() => {
    const now = monotonicMs();
    if (now - last - everyMs > leastMs) stalls.push({ from: last + everyMs, to: now });
    last = now;
  }, everyMs);
  process.once('disconnect', () => clearInterval(timer));
  process.send?.('started');
  await once(process, 'message');
  clearInterval(timer);
  process.send?.(stalls);
  process.disconnect();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await watch();
