/** What the data replicas say of themselves: how many answer, and how many calls wait at them. */
import { setMaxListeners } from 'node:events';
import { Limiter } from '#bounds/limiter.js';
import { certifiedByName, resolveAddresses } from '#data/client/replica-discovery.js';
import type { ConnectOptions } from '#rpc/client.js';
import { askScaler, connectScaler, type ScalerClient } from '#scaling/ask-scaler.js';
import { parseScaled } from '#scaling/scaled-part.js';
import type { DataDemand } from '#scaling/wanted.js';

/** Number of replicas that are asked, and at the same time. The calls of further ones are taken to be like those of the first. */
const mostAsked = 64;
const width = 16;
/** How long a replica may take to answer, in ms. One that is slower counts as one that does not answer. */
const answerMs = 2000;

export class DataLoad {
  readonly #clients = new Map<string, ScalerClient>();
  readonly #limiter = new Limiter(width);
  readonly #connect: ConnectOptions;

  constructor(
    private readonly addresses: readonly string[],
    connect: ConnectOptions,
  ) {
    this.#connect = { ...certifiedByName(addresses, connect), retry: { attempts: 1 }, connectMs: answerMs };
  }

  /** Replicas that do not answer are left out; those of a name that does not resolve are all away. @throws the signal's reason */
  async look(signal: AbortSignal): Promise<Pick<DataDemand, 'replicas' | 'waitingCalls'>> {
    const found = await resolveAddresses(this.addresses).catch((): string[] => []);
    for (const [address, client] of this.#clients) {
      if (found.includes(address)) continue;
      client.close();
      this.#clients.delete(address);
    }
    const asked = found.slice(0, mostAsked);
    const late = AbortSignal.any([signal, AbortSignal.timeout(answerMs)]);
    setMaxListeners(0, late);
    const calls = await Promise.all(asked.map((address) => this.#limiter.run(() => this.#callsOf(address, late)).catch(() => undefined)));
    signal.throwIfAborted();
    const answers = calls.filter((count) => count !== undefined);
    const scale = asked.length === 0 ? 0 : found.length / asked.length;
    return { replicas: Math.round(answers.length * scale), waitingCalls: answers.reduce((sum, count) => sum + count, 0) * scale };
  }

  close(): void {
    for (const client of this.#clients.values()) client.close();
    this.#clients.clear();
  }

  async #callsOf(address: string, signal: AbortSignal): Promise<number> {
    const client = this.#clients.get(address) ?? connectScaler(address, this.#connect);
    this.#clients.set(address, client);
    return await askScaler(client)(calls, signal);
  }
}

const calls = parseScaled({ name: '', namespace: '', scalerMetadata: { part: 'data-calls' } });
