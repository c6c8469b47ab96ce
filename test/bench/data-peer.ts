/** The peers of the data benchmark: ../shared/peers/data_pipeline.py with Pillow, Pillow-SIMD and torchvision v2. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';
import { sharedPath } from '../support/shared-folder.js';
import { peersPython } from './peer.js';

/** Its name of each row. */
const CASES = { decode: 'a', augment: 'b', finish: 'c', evaluate: 'd', mix: 'mix' } as const;
export type PeerRow = keyof typeof CASES;

/** What data_pipeline.py prints for a case, as far as it is used. */
export interface PeerLine {
  readonly peer: string;
  readonly case: string;
  /** Images a second, or milliseconds of a batch for mix. */
  readonly value: number;
  readonly p10: number;
  readonly p90: number;
  readonly version: string;
}

export class DataPeer {
  private constructor(
    private readonly python: string,
    private readonly script: string,
    private readonly options: { folder: string; workers: number; seconds: number; cores: string | undefined },
  ) {}

  static async prepare(options: { folder: string; workers: number; seconds: number; cores: string | undefined }): Promise<DataPeer> {
    const script = sharedPath('peers', 'data_pipeline.py');
    if (script === undefined) throw new Error('--peer needs shared/peers beside the working copy (DROPSTREAM_SHARED)');
    return new DataPeer(await peersPython(), script, options);
  }

  /** One block of every peer that knows the row, the exact ones only. */
  async block(row: PeerRow): Promise<PeerLine[]> {
    const simd = process.env.DROPSTREAM_PILLOW_SIMD;
    if (row === 'mix') return (await this.#run('pillow', row)).filter((line) => line.case.includes('uint8'));
    const plain = await this.#run('pillow,torchvision', row);
    return simd && existsSync(simd) ? [...plain, ...(await this.#run('pillow', row, simd))] : plain;
  }

  async #run(backends: string, row: PeerRow, pillow?: string): Promise<PeerLine[]> {
    const { folder, workers, seconds, cores } = this.options;
    const settings: Record<string, string | number> = {
      images: folder,
      backends,
      cases: CASES[row],
      seconds,
      threads: workers,
      // One worker is the process itself: nothing is handed from one process to another.
      workers: workers === 1 ? 0 : workers,
      ...(pillow ? { label: 'pillow-simd' } : {}),
    };
    const args = [this.script, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`])];
    // At the priority of our pixel threads, so that whatever else runs takes as much from either.
    const command = ['nice', '-n', '5', ...(cores === undefined ? [] : ['taskset', '-c', cores]), this.python, ...args];
    const path = [pillow, process.env.PYTHONPATH].filter(Boolean).join(delimiter);
    const child = spawn(command[0]!, command.slice(1), {
      env: { ...process.env, ...(path && { PYTHONPATH: path }) },
      timeout: 300_000 + 4000 * seconds,
    });
    let [out, log] = ['', ''];
    child.stdout.on('data', (chunk) => (out += chunk));
    child.stderr.on('data', (chunk) => (log = (log + chunk).slice(-4000)));
    await new Promise<void>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) =>
        code === 0 ? resolve() : reject(new Error(`data_pipeline.py ended with ${code ?? signal}:\n${log}`)),
      );
    });
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as PeerLine | { skipped: string; peer: string });
    for (const line of lines) if ('skipped' in line) console.log(`peer: ${line.peer} skips ${row}: ${line.skipped}`);
    return lines.filter((line): line is PeerLine => 'value' in line);
  }
}
