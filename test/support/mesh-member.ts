/** A member of a mesh as a process of its own, which does what its parent says (mesh-processes.ts). */
import { createHash } from 'node:crypto';
import { connectMesh, copyState, type ExchangePlan, exchange, keyOf, type Mesh, type RendezvousStore } from '#collectives/index.js';
import { ownSums } from './exchange-cases.js';

export interface ConnectRequest {
  readonly name: string;
  readonly rank: number;
  readonly size: number;
  readonly connectTimeoutMs: number;
  readonly transferTimeoutMs: number;
}

/** What a parent can ask for; every answer is the function's result, or the error's name, message and peer. */
export interface MemberCommands {
  connect(request: ConnectRequest): Promise<void>;
  /** @returns SHA-256 of the sum */
  exchange(plan: ExchangePlan): Promise<string>;
  /** @returns the milliseconds of each round; all members begin a round together */
  timeExchanges(request: { plan: ExchangePlan; rounds: number }): Promise<number[]>;
  /** Exchanges until one fails, which is the answer. */
  exchangeUntilItFails(plan: ExchangePlan): Promise<string>;
  /** Copies arrays of these lengths, which are full of `value` at the first member. @returns SHA-256 of what is there afterwards */
  copy(request: { from: number; to: readonly number[]; lengths: readonly number[]; value: number }): Promise<string>;
  abort(reason: string): Promise<void>;
  close(): Promise<void>;
}

let mesh: Mesh | undefined;
const stop = new AbortController();
const current = (): Mesh => mesh ?? fail('not connected');
const fail = (why: string): never => {
  throw new Error(why);
};

const answers = new Map<number, (value: Uint8Array) => void>();
let calls = 0;
const ask = (message: object) =>
  new Promise<Uint8Array>((resolve) => {
    const call = calls++;
    answers.set(call, resolve);
    process.send?.({ ...message, call });
  });
const storeOf = (name: string): RendezvousStore => ({
  set: async (key, value) => void (await ask({ store: 'set', key: `${name}/${key}`, value })),
  get: (key) => ask({ store: 'get', key: `${name}/${key}` }),
});

const sha256 = (...arrays: Float32Array[]) => {
  const hash = createHash('sha256');
  for (const values of arrays) hash.update(new Uint8Array(values.buffer));
  return hash.digest('hex');
};

/** Resolves when all members have called it. */
async function barrier(mesh: Mesh): Promise<void> {
  const others = Array.from({ length: mesh.size }, (_, rank) => rank).filter((rank) => rank !== mesh.rank);
  await Promise.all(others.flatMap((rank) => [mesh.send(rank, 1, new Float32Array(1)), mesh.receive(rank, 1, new Float32Array(1))]));
}

const commands: MemberCommands = {
  async connect({ name, ...request }) {
    mesh = await connectMesh({ ...request, host: '127.0.0.1', store: storeOf(name), signal: stop.signal });
  },
  async exchange(plan) {
    const sum = new Float32Array(plan.elements);
    await exchange(current(), plan, ownSums(plan, current().rank), sum);
    return sha256(sum);
  },
  async timeExchanges({ plan, rounds }) {
    const { rank } = current();
    const sum = new Float32Array(plan.elements);
    const mine = new Map([...(plan.held[rank] ?? [])].map((node) => [keyOf(node), new Float32Array(plan.elements).fill(rank + 1)]));
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await barrier(current());
      const began = performance.now();
      await exchange(current(), plan, mine, sum);
      times.push(performance.now() - began);
    }
    return times;
  },
  async exchangeUntilItFails(plan) {
    const sum = new Float32Array(plan.elements);
    const mine = ownSums(plan, current().rank);
    for (let count = 0; ; count++) {
      await exchange(current(), plan, mine, sum);
      if (count === 2) process.send?.({ event: 'exchanging' });
    }
  },
  async copy({ from, to, lengths, value }) {
    const tensors = lengths.map((length) => new Float32Array(length).fill(current().rank === from ? value : 0));
    await copyState(current(), from, to, tensors);
    return sha256(...tensors);
  },
  async abort(reason) {
    current().abort(reason);
  },
  async close() {
    await mesh?.close();
    mesh = undefined;
  },
};

process.on(
  'message',
  async (message: { answer: number; value: Uint8Array } | { command: keyof MemberCommands; id: number; argument: never }) => {
    if ('answer' in message) {
      answers.get(message.answer)?.(message.value);
      answers.delete(message.answer);
      return;
    }
    const { command, id, argument } = message;
    try {
      process.send?.({ id, result: await commands[command](argument) });
    } catch (error) {
      const { name, message: text, peer } = error as Error & { peer?: number };
      process.send?.({ id, error: { name, message: text, peer } });
    }
  },
);
process.on('disconnect', () => process.exit());
