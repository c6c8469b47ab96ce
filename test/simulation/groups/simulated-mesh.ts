/** A mesh whose transfers are messages of the simulated network. It executes the programs that Gloo's addon executes. */
import type { connectMesh, Mesh } from '#collectives/index.js';
import { MeshAborted, MeshFailed } from '#collectives/index.js';
import { type MeshProgram, type Place, SCRATCH } from '#collectives/mesh-program.js';
import type { Network } from './network.js';

/** What the members of a generation find each other by. */
export interface Meeting {
  readonly generation: string;
  /** Letters of its members, by rank. */
  readonly letters: readonly string[];
}

/** All meshes of an execution. */
export class Meshes {
  /** What has arrived and nobody has taken, by generation, receiver and tag; `hello` has the tag -1. */
  readonly #arrived = new Map<string, Float32Array[]>();
  readonly #waiting = new Map<string, (values: Float32Array) => void>();
  /** Waits that end with a time-out, if nothing else happens. */
  readonly timeouts = new Set<{ readonly letter: string; readonly end: () => void }>();

  constructor(
    private readonly network: Network,
    /** A planted fault: members take what belongs to an earlier generation. */
    private readonly staleAccepted: boolean,
  ) {}

  readonly connect = async ({ rank, store, signal }: Parameters<typeof connectMesh>[0]): Promise<Mesh> => {
    const { generation, letters } = store as unknown as Meeting;
    const mesh = new SimulatedMesh(this, this.network, { generation: this.staleAccepted ? '' : generation, letters }, rank, signal);
    await mesh.meet();
    return mesh;
  };

  put(key: string, values: Float32Array): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) {
      this.#waiting.delete(key);
      waiting(values);
    } else this.#arrived.set(key, [...(this.#arrived.get(key) ?? []), values]);
  }

  /** @throws what `ends` rejects with; MeshFailed after a time-out */
  async take(key: string, letter: string, peer: number, ends: AbortSignal): Promise<Float32Array> {
    const first = this.#arrived.get(key)?.shift();
    if (first !== undefined) return first;
    return await new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#waiting.delete(key);
        this.timeouts.delete(late);
        ends.removeEventListener('abort', aborted);
      };
      const late = {
        letter,
        end: (): void => {
          settle();
          reject(new MeshFailed(peer, 'nothing was heard of it'));
        },
      };
      const aborted = (): void => {
        settle();
        reject(ends.reason as Error);
      };
      if (ends.aborted) return reject(ends.reason as Error);
      ends.addEventListener('abort', aborted, { once: true });
      this.timeouts.add(late);
      this.#waiting.set(key, (values) => {
        settle();
        resolve(values);
      });
    });
  }
}

class SimulatedMesh implements Mesh {
  readonly #ended = new AbortController();

  constructor(
    private readonly meshes: Meshes,
    private readonly network: Network,
    private readonly meeting: Meeting,
    readonly rank: number,
    signal: AbortSignal,
  ) {
    if (signal.aborted) this.#end(signal.reason as Error);
    signal.addEventListener('abort', () => this.#end(signal.reason as Error), { once: true });
  }

  get size(): number {
    return this.meeting.letters.length;
  }

  async meet(): Promise<void> {
    const others = this.meeting.letters.map((_, rank) => rank).filter((rank) => rank !== this.rank);
    for (const other of others) this.#give(other, -1, new Float32Array());
    for (const other of others) await this.#take(other, -1);
  }

  async run({ instructions, scratch }: MeshProgram, arrays: readonly Float32Array[]): Promise<void> {
    const memory = new Float32Array(scratch);
    const view = ({ array, offset }: Place, count: number): Float32Array =>
      (array === SCRATCH ? memory : arrays[array])!.subarray(offset, offset + count);
    const transfers: { readonly begin: () => Promise<void>; done: boolean }[] = [];
    const finish = async (transfer: (typeof transfers)[number]): Promise<void> => {
      if (!transfer.done) await transfer.begin();
      transfer.done = true;
    };
    for (const one of instructions) {
      if (one.kind === 'send') {
        this.#give(one.peer, one.tag, view(one.place, one.count).slice());
        transfers.push({ begin: async () => {}, done: true });
      } else if (one.kind === 'receive') {
        const begin = async (): Promise<void> => view(one.place, one.count).set(await this.#take(one.peer, one.tag));
        transfers.push({ begin, done: false });
      } else if (one.kind === 'wait') await finish(transfers[one.transfer]!);
      else if (one.kind === 'copy') view(one.into, one.count).set(view(one.from, one.count));
      else if (one.kind === 'add') {
        const [into, left, right] = [one.into, one.left, one.right].map((place) => view(place, one.count));
        for (let k = 0; k < one.count; k++) into![k] = left![k]! + right![k]!;
      }
    }
    for (const transfer of transfers) await finish(transfer);
  }

  async send(): Promise<void> {
    throw new Error('members only run programs');
  }

  async receive(): Promise<void> {
    throw new Error('members only run programs');
  }

  abort(reason: string): void {
    this.#end(new MeshAborted(reason));
  }

  async close(): Promise<void> {
    this.abort('it is closed');
  }

  #end(why: Error): void {
    if (!this.#ended.signal.aborted) this.#ended.abort(why);
  }

  #give(to: number, tag: number, values: Float32Array): void {
    if (this.#ended.signal.aborted) throw this.#ended.signal.reason;
    const { generation, letters } = this.meeting;
    const [from, receiver] = [letters[this.rank]!, letters[to]!];
    const key = `${generation} ${from}${receiver} ${tag}`;
    this.network.send(
      from,
      receiver,
      `transfer ${tag === -1 ? 'hello' : ''} of generation ${generation}`,
      () => this.meshes.put(key, values),
      true,
    );
  }

  async #take(from: number, tag: number): Promise<Float32Array> {
    const { generation, letters } = this.meeting;
    const key = `${generation} ${letters[from]}${letters[this.rank]} ${tag}`;
    return await this.meshes.take(key, letters[this.rank]!, from, this.#ended.signal);
  }
}
