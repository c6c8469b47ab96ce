/** A process of train_step.py (peer-process.py): all its steps at once, or in turns with somebody else's. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('peer-process.py', import.meta.url));

/** What train_step.py prints, as far as it is used. */
export interface PeerLine {
  value: number;
  p10: number;
  p90: number;
  steps: number;
  version: string;
  phase_ms?: Record<string, number>;
}

/** Resident bytes of the Python process. */
interface PeerMemory {
  /** With model, images and targets made, before the first step. */
  before: number;
  /** Since then; compiled, the compiler's memory is part of it. */
  peak: number;
  peakAfterWarmUp: number;
}

export interface PeerBlock extends PeerLine {
  /** Null where the system does not tell. */
  memory: PeerMemory | null;
}

export interface Turn {
  steps: number;
  seconds: number;
}

export class PeerRun {
  readonly #child: ChildProcessWithoutNullStreams;
  /** Rejected, with the end of its log, where it failed. */
  readonly result: Promise<PeerBlock>;
  readonly #turns: Turn[] = [];
  #memory: PeerMemory | null = null;
  #ended = false;
  #heard: () => void = () => undefined;

  /** `turnSeconds` of 0: all at once. */
  constructor(python: string, args: readonly string[], env: NodeJS.ProcessEnv, turnSeconds: number, timeout: number) {
    this.#child = spawn(python, [program, ...args], { env: { ...env, DROPSTREAM_TURN_SECONDS: `${turnSeconds}` }, timeout });
    let [out, log] = ['', ''];
    this.#child.stdout.on('data', (chunk) => (out += chunk));
    // It may have ended when it gets its last turn.
    this.#child.stdin.on('error', () => undefined);
    createInterface({ input: this.#child.stderr }).on('line', (line) => {
      if (!this.#take(line)) log = `${log}${line}\n`.slice(-4000);
    });
    this.result = new Promise<PeerBlock>((resolve, reject) => {
      this.#child.on('error', reject);
      this.#child.on('close', (code, signal) => {
        if (code !== 0) return reject(new Error(`train_step.py ended with ${code ?? signal}:\n${log}`));
        resolve({ ...(JSON.parse(out.trim().split('\n').at(-1)!) as PeerLine), memory: this.#memory });
      });
    });
    this.result
      .catch(() => undefined)
      .finally(() => {
        this.#ended = true;
        this.#heard();
      });
  }

  /** The end of the warm-up, with no steps, and then of each turn; undefined when the process has ended. */
  async turn(): Promise<Turn | undefined> {
    if (!this.#ended && this.#turns.length === 0) await new Promise<void>((resolve) => (this.#heard = resolve));
    return this.#turns.shift();
  }

  /** Gives the process its next turn. */
  go(): void {
    this.#child.stdin.write('\n');
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** Whether the line was ours. */
  #take(line: string): boolean {
    if (!/^\{"(turn|memory)": /.test(line)) return false;
    const { turn, memory } = JSON.parse(line) as { turn?: Turn; memory?: PeerMemory };
    if (memory !== undefined) this.#memory = memory;
    if (turn !== undefined) {
      this.#turns.push(turn);
      this.#heard();
    }
    return true;
  }
}
