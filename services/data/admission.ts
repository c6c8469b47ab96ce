/**
 * Decides which call may prepare a batch next and how much memory each client may use. Each call is charged to its client. The calls of a
 * client are admitted in order; among clients, the one that has received the least goes first (start-time fair queueing: Goyal, Vin and Cheng
 * 1996), so that all clients get equal shares, however many calls they make. The memory of a batch is held until the batch is sent, so a
 * client that reads slowly reaches its own limit and does not block others.
 */
import { ResourceExhausted } from '#errors/errors.js';
import { bounds } from './metrics.js';

/** A limit was reached. `bound` names it, and is the label of the metric that counts refusals. */
export class BoundReached extends ResourceExhausted {
  constructor(
    readonly bound: keyof typeof bounds,
    detail: string,
    limit: string,
  ) {
    super(`${bounds[bound]}: ${detail}`, limit);
  }
}

export interface AdmissionOptions {
  /** Memory for the batches of all clients in bytes. */
  readonly maxBytes: number;
  /** Memory for the batches of one client in bytes. A client that has no batch may exceed it by one batch. */
  readonly maxClientBytes: number;
  /** Number of batches that are prepared at the same time. */
  readonly turns: number;
  /** Numbers of calls that may wait: of all clients, and of one client. */
  readonly maxWaiting: number;
  readonly maxClientWaiting: number;
  /** Called when memory is short: frees a batch that nobody has requested yet, before it returns. @returns whether there was one */
  readonly onShortage?: () => boolean;
  /** Called when a turn is free and no call waits for it. */
  readonly onIdle?: () => void;
}

/** The resources that one call needs. */
export interface Needs {
  /** Memory in bytes, held until the batch is sent. */
  readonly bytes: number;
  /** The work that its client is charged with, in a unit that is the same for all calls. */
  readonly cost: number;
}

/** The resources that one call holds. Both functions may be called repeatedly; later calls do nothing. */
export interface Admitted {
  /** Frees the turn when the batch is ready. */
  made(): void;
  /** Frees the memory and the turn when the batch was sent or is given up. */
  left(): void;
}

interface Waiter {
  readonly needs: Needs;
  readonly enter: (admitted: Admitted) => void;
}

interface Client {
  /** Virtual time at which its next call begins: the cost of what it has received, or what others had received when it arrived. */
  time: number;
  held: number;
  readonly waiting: Waiter[];
}

export class Admission {
  /** In the order of arrival, which decides between equal clients. */
  readonly #clients = new Map<string, Client>();
  /** Virtual time of the last admitted call. */
  #now = 0;
  #held = 0;
  #turns = 0;
  #waiting = 0;
  #admitting = false;

  constructor(private readonly options: AdmissionOptions) {}

  get held(): number {
    return this.#held;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** Number of clients that hold memory or wait. */
  get clients(): number {
    return [...this.#clients.values()].filter(isActive).length;
  }

  /**
   * Resolves when it is this call's turn.
   * @throws BoundReached if the memory can never suffice or too many calls wait; the signal's reason
   */
  async enter(name: string, needs: Needs, signal: AbortSignal): Promise<Admitted> {
    signal.throwIfAborted();
    const { maxBytes, maxWaiting, maxClientWaiting } = this.options;
    if (needs.bytes > maxBytes)
      throw new BoundReached('bytes', `the memory for one call that needs ${needs.bytes} bytes`, String(maxBytes));
    const client = this.#client(name);
    return await new Promise((resolve, reject) => {
      const leave = (reason: Error): void => {
        client.waiting.splice(client.waiting.indexOf(waiter), 1);
        this.#waiting--;
        signal.removeEventListener('abort', abort);
        this.#admit();
        reject(reason);
      };
      const abort = (): void => leave(signal.reason as Error);
      let entered = false;
      const waiter: Waiter = {
        needs,
        enter: (admitted) => {
          entered = true;
          signal.removeEventListener('abort', abort);
          resolve(admitted);
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      client.waiting.push(waiter);
      this.#waiting++;
      this.#admit();
      if (entered) return;
      if (client.waiting.length > maxClientWaiting)
        leave(new BoundReached('waiting', 'the queue of one client', `${maxClientWaiting} calls`));
      else if (this.#waiting > maxWaiting) leave(new BoundReached('waiting', 'the queue', `${maxWaiting} calls`));
    });
  }

  /** Admits work that nobody waits for yet, if no call waits, the client has memory left, and half of all memory stays free. */
  tryEnter(name: string, needs: Needs): Admitted | undefined {
    const { maxBytes, maxClientBytes, turns } = this.options;
    const { bytes } = needs;
    const client = this.#client(name);
    const fits = this.#held + bytes <= maxBytes / 2 && client.held + bytes <= maxClientBytes;
    return this.#waiting === 0 && this.#turns < turns && fits ? this.#take(client, needs) : undefined;
  }

  #client(name: string): Client {
    // A client that received less than the others starts at their virtual time, so it does not have to be remembered.
    for (const [other, client] of this.#clients) if (!isActive(client) && client.time <= this.#now) this.#clients.delete(other);
    const client = this.#clients.get(name) ?? { time: this.#now, held: 0, waiting: [] };
    this.#clients.set(name, client);
    return client;
  }

  #admit(): void {
    // Freeing memory below calls this function again.
    if (this.#admitting) return;
    this.#admitting = true;
    try {
      while (this.#turns < this.options.turns) {
        const client = this.#next();
        if (!client) break;
        const waiter = client.waiting[0]!;
        // It waits until enough memory is free, and no call overtakes it; otherwise small batches could block a large one for ever.
        const { bytes } = waiter.needs;
        while (this.#held + bytes > this.options.maxBytes && this.options.onShortage?.());
        if (this.#held + bytes > this.options.maxBytes) break;
        client.waiting.shift();
        this.#waiting--;
        waiter.enter(this.#take(client, waiter.needs));
      }
    } finally {
      this.#admitting = false;
    }
    if (this.#waiting === 0 && this.#turns < this.options.turns) this.options.onIdle?.();
  }

  /** Of the waiting clients that have memory left, the one that has received the least. */
  #next(): Client | undefined {
    let best: Client | undefined;
    for (const client of this.#clients.values()) {
      const first = client.waiting[0];
      if (!first || (client.held > 0 && client.held + first.needs.bytes > this.options.maxClientBytes)) continue;
      if (!best || Math.max(client.time, this.#now) < Math.max(best.time, this.#now)) best = client;
    }
    return best;
  }

  #take(client: Client, { bytes, cost }: Needs): Admitted {
    const start = Math.max(client.time, this.#now);
    client.time = start + cost;
    this.#now = start;
    // Counted here and not by the admitted call, so that no other call is admitted before that call runs.
    client.held += bytes;
    this.#held += bytes;
    this.#turns++;
    let [made, left] = [false, false];
    const endTurn = (): void => {
      if (!made) this.#turns--;
      made = true;
    };
    return {
      made: () => {
        if (made) return;
        endTurn();
        this.#admit();
      },
      left: () => {
        if (left) return;
        left = true;
        endTurn();
        client.held -= bytes;
        this.#held -= bytes;
        this.#admit();
      },
    };
  }
}

const isActive = ({ held, waiting }: Client) => held > 0 || waiting.length > 0;
