/** PyTorch's side: ../shared/peers/train_step.py in its best configuration for the case, found once per processor. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { sharedPath } from '../support/shared-folder.js';
import { processor } from './machine-peak.js';
import { type PeerBlock, PeerRun } from './peer-run.js';
import { uneven } from './statistics.js';
import type { TrainingCase } from './training-case.js';

/** Seconds of each configuration in the sweep, after its warm-up and compilation. */
const SWEEP_SECONDS = 8;
const MINUTE_MS = 60_000;
const cacheFolder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'dropstream');

export interface PeerConfig {
  /** fp32; bf16: autocast; bf16pure: bf16 weights with fp32 masters. */
  dtype: string;
  compile: 0 | 1;
  fusedAttention: 0 | 1;
  /** Allocator put before the program, or empty. */
  preload: string;
}

/** The configurations that may be the fastest. Attention is fused or not only where a model has any. */
function candidates({ model, precision }: Pick<TrainingCase, 'model' | 'precision'>, preload: string): PeerConfig[] {
  const dtypes = precision === 'fp32' ? ['fp32'] : ['bf16', 'bf16pure'];
  const attentions: readonly (0 | 1)[] = /^(vit|swin)/.test(model) ? [1, 0] : [1];
  return dtypes.flatMap((dtype) =>
    ([0, 1] as const).flatMap((compile) => attentions.map((fusedAttention) => ({ dtype, compile, fusedAttention, preload }))),
  );
}

function findTcmalloc(): string {
  const folders = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'];
  return folders.map((folder) => join(folder, 'libtcmalloc_minimal.so.4')).find((path) => existsSync(path)) ?? '';
}

/** Python with everything that the peers' scripts import; the virtual environment is made where there is none (2 GB; DROPSTREAM_PEERS_VENV names another). */
export async function peersPython(): Promise<string> {
  const setup = sharedPath('peers', 'setup');
  if (setup === undefined) throw new Error('--peer needs shared/peers beside the working copy (DROPSTREAM_SHARED)');
  const venv = process.env.DROPSTREAM_PEERS_VENV ?? join(cacheFolder, 'peers-venv');
  const python = join(venv, 'bin', 'python');
  if (!existsSync(python)) {
    console.log(`peer: PyTorch into ${venv} (about 2 GB, a minute or more)`);
    mkdirSync(dirname(venv), { recursive: true });
    await promisify(execFile)(setup, [venv], { timeout: 30 * MINUTE_MS, maxBuffer: 2 ** 26 });
  }
  return python;
}

export class Peer {
  /** Models that the script knows, undefined where there is no script. */
  static models(): string[] | undefined {
    const script = sharedPath('peers', 'train_step.py');
    if (script === undefined) return undefined;
    return [...readFileSync(script, 'utf8').matchAll(/^ {4}"(\w+)": lambda /gm)].map(([, name]) => name!);
  }

  private constructor(
    private readonly options: TrainingCase,
    private readonly threads: number,
    private readonly python: string,
    private readonly script: string,
    readonly config: PeerConfig,
  ) {}

  /** Sweeps where nothing is known yet. */
  static async prepare(options: TrainingCase, threads: number): Promise<Peer> {
    const script = sharedPath('peers', 'train_step.py');
    if (script === undefined) throw new Error('--peer needs shared/peers beside the working copy (DROPSTREAM_SHARED)');
    const python = await peersPython();
    const preload = findTcmalloc();
    if (preload === '') console.log('peer: libtcmalloc_minimal is not installed; PyTorch may be 3 to 8 % slower without');
    const withConfig = (config: PeerConfig) => new Peer(options, threads, python, script, config);
    const known = new KnownChoices(options, threads, preload);
    let config = known.read();
    if (config === undefined) {
      const found = await sweep(candidates(options, preload), withConfig);
      config = found.config;
      if (found.disturbed) console.log('peer sweep: something else ran meanwhile, so its choice is not kept for the next time');
      else known.write(config);
    }
    console.log(`peer: ${JSON.stringify(config)}`);
    return withConfig(config);
  }

  /** The script warms up, compiles, then measures for `seconds`: all at once, or in turns. */
  run(seconds: number, turnSeconds = 0): PeerRun {
    const { model, batch, dropPath, dropout, ema, clip, forward } = this.options;
    const { dtype, compile, fusedAttention, preload } = this.config;
    const settings: Record<string, string | number> = {
      model,
      dtype,
      compile,
      batch,
      seconds,
      clip,
      dropout,
      threads: this.threads,
      ema: ema ? 1 : 0,
      'drop-path': dropPath,
      'fused-attention': fusedAttention,
    };
    const args = [this.script, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, `${value}`])];
    const env = { ...process.env, ...(preload && { LD_PRELOAD: preload }) };
    return new PeerRun(this.python, [...args, ...(forward ? ['--forward'] : [])], env, turnSeconds, 10 * MINUTE_MS + 4000 * seconds);
  }
}

/** The fastest, and whether any run was so uneven that the choice may be wrong. */
async function sweep(configs: readonly PeerConfig[], withConfig: (config: PeerConfig) => Peer) {
  let best: { config: PeerConfig; value: number } | undefined;
  let disturbed = false;
  for (const config of configs) {
    try {
      const { value, p10 } = await withConfig(config).run(SWEEP_SECONDS).result;
      disturbed ||= uneven(value, p10);
      console.log(`peer sweep: ${JSON.stringify(config)} ${value} images/s`);
      if (best === undefined || value > best.value) best = { config, value };
    } catch (error) {
      console.log(`peer sweep: ${JSON.stringify(config)} failed: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  if (best === undefined) throw new Error('no configuration of train_step.py runs here');
  return { config: best.config, disturbed };
}

/** The best configurations so far, by everything that they depend on, in a file of the cache folder. */
class KnownChoices {
  readonly #file = join(cacheFolder, 'peer-choices.json');
  readonly #key: string;

  constructor({ model, precision, batch, forward, dropPath, dropout }: TrainingCase, threads: number, preload: string) {
    this.#key = JSON.stringify({ processor: processor(), threads, model, precision, batch, forward, dropPath, dropout, preload });
  }

  #all(): Record<string, PeerConfig> {
    return existsSync(this.#file) ? (JSON.parse(readFileSync(this.#file, 'utf8')) as Record<string, PeerConfig>) : {};
  }

  read(): PeerConfig | undefined {
    return this.#all()[this.#key];
  }

  write(config: PeerConfig): void {
    mkdirSync(cacheFolder, { recursive: true });
    const unfinished = `${this.#file}.${process.pid}`;
    writeFileSync(unfinished, JSON.stringify({ ...this.#all(), [this.#key]: config }, null, 2));
    renameSync(unfinished, this.#file);
  }
}

/** What the line of a case says of its peer. */
export function peerSummary({ value, p10, p90, steps, phase_ms, memory, version }: PeerBlock) {
  return {
    img_per_s: value,
    img_per_s_p10: p10,
    img_per_s_p90: p90,
    steps,
    phase_ms: phase_ms ?? null,
    peak_bytes: memory && memory.peak - memory.before,
    peak_bytes_after_warm_up: memory && memory.peakAfterWarmUp - memory.before,
    peak_rss_bytes: memory?.peak ?? null,
    version,
  };
}
