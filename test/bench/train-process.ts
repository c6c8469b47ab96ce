/** bench:train as a process of its own, which ends with its caller. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { sourceFlags } from '../support/processes.js';

/** From the root of a clone. */
export const TRAIN_BENCH = join('test', 'bench', 'train.ts');

const LONGEST_MS = 60 * 60_000;

/**
 * @param folder the root of the clone whose bench:train runs
 * @param onOutput gets the output as it goes by
 * @returns its last line, parsed
 */
export async function runTrainBench(
  folder: string,
  args: readonly string[],
  onOutput: (text: string) => void = () => {},
): Promise<unknown> {
  const child = spawn(process.execPath, [...sourceFlags, TRAIN_BENCH, ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: LONGEST_MS,
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    onOutput(text);
  });
  const end = () => child.kill();
  process.once('SIGTERM', end).once('SIGINT', end);
  const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
  process.off('SIGTERM', end).off('SIGINT', end);
  if (code !== 0) throw new Error(`bench:train ${args.join(' ')} in ${folder} ended with ${code}`);
  return JSON.parse(output.trim().split('\n').at(-1)!);
}
