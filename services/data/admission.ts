/**
 * Who may make a batch next, and who may hold how many bytes. Each call is charged to its client; a client's calls enter in their order, and
 * among clients the one that has been given the least goes first (start-time fair queueing: Goyal, Vin and Cheng 1996), so that shares are
 * equal however many calls a client has in flight. Bytes are held until the batch has left, so a client that reads slowly runs into its own
 * bound and holds nobody else back.
 */
import { ResourceExhausted } from '#errors/errors.js';
import { bounds } from './metrics.js';

/** A bound of the admission was reached; `bound` says which, for the series that counts refusals. */
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
  /** Bytes of batches in all. */
  readonly maxBytes: number;
  /** Of one client. A client that holds nothing may exceed it by one batch. */
  readonly maxClientBytes: number;
  /** Batches made at a time. */
  readonly turns: number;
  /** Calls that wait, in all and of one client. */
  readonly maxWaiting: number;
  readonly maxClientWaiting: number;
  /** Bytes are short: whether some could be freed that nobody has asked for yet. They must be left before it returns. */
  readonly onShortage?: () => boolean;
  /** A turn is free and nobody waits for it. */
  readonly onIdle?: () => void;
}

/** What one call asks for. */
export interface Needs {
  /** Held until the batch has left. */
  readonly bytes: number;
  /** What its client is charged: any measure of the work, the same for all calls. */
  readonly cost: number;
}

/** What one call holds. Both may be called again; then they do nothing. */
export interface Admitted {
  /** The batch is made: the turn is free. */
  made(): void;
  /** The batch has left, or never will: its bytes, and the turn, are free. */
  left(): void;
}

interface Waiter {
  readonly needs: Needs;
  readonly enter: (admitted: Admitted) => void;
}

interface Client {
  /** Virtual time at which its next call begins: the cost of what it was given, or what others had been given when it came. */
  time: number;
  held: number;
  readonly waiting: Waiter[];
}

export class Admission {
  /** In the order in which they came, which decides between equals. */
  readonly #clients = new Map<string, Client>();
  /** Virtual time of the last call that entered. */
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

  /** Clients that hold bytes or wait. */
  get clients(): number {
    return [...this.#clients.values()].filter(isActive).length;
  }

  /**
   * Resolves when it is this call's turn.
   * @throws BoundReached when the bytes can never fit or too many wait; the signal's reason
   */
  async enter(name: string, needs: Needs, signal: AbortSignal): Promise<Admitted> {
    signal.throwIfAborted();
    const { maxBytes, maxWaiting, maxClientWaiting } = this.options;
    if (needs.bytes > maxBytes) throw new BoundReached('bytes', `one call needs ${needs.bytes}, which`, String(maxBytes));
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

  /** For work that nobody waits for yet: only where no call waits, within the client's bytes, and half of all bytes stay free. */
  tryEnter(name: string, needs: Needs): Admitted | undefined {
    const { maxBytes, maxClientBytes, turns } = this.options;
    const { bytes } = needs;
    const client = this.#client(name);
    const fits = this.#held + bytes <= maxBytes / 2 && client.held + bytes <= maxClientBytes;
    return this.#waiting === 0 && this.#turns < turns && fits ? this.#take(client, needs) : undefined;
  }

  #client(name: string): Client {
    // Whoever was given less than the others have by now starts over from there; only that is worth remembering.
    for (const [other, client] of this.#clients) if (!isActive(client) && client.time <= this.#now) this.#clients.delete(other);
    const client = this.#clients.get(name) ?? { time: this.#now, held: 0, waiting: [] };
    this.#clients.set(name, client);
    return client;
  }

  #admit(): void {
    // Freeing bytes below comes back here.
    if (this.#admitting) return;
    this.#admitting = true;
    try {
      while (this.#turns < this.options.turns) {
        const client = this.#next();
        if (!client) break;
        const waiter = client.waiting[0]!;
        // It waits for bytes in all, and nobody passes it: otherwise small batches would keep a large one out for ever.
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

  /** Of the clients that wait and are within their bytes, the one that was given least. */
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
    // Counted here, not by whoever enters: nobody may slip in before it runs.
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
