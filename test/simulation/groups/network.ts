/**
 * Messages between the workers of a simulated group, and to the store. Every link delivers in order; which link is next is a choice. A process does something
 * only when a message is delivered to it, so it can stop for ever, or be frozen, before any of them.
 */

/** Workers have small letters; `$` is the store. */
export const STORE = '$';

export interface Message {
  readonly order: number;
  readonly from: string;
  readonly to: string;
  readonly text: string;
  readonly deliver: () => void;
  /** Its way, as it stands in choices: `ab` for what a says to b, and `ab=` for a transfer, which overtakes it and may get lost. */
  readonly link: string;
  readonly lossy: boolean;
}

export type ProcessState = 'live' | 'frozen' | 'gone';

export class Network {
  readonly #links = new Map<string, Message[]>();
  readonly #states = new Map<string, ProcessState>();
  #sent = 0;

  constructor(readonly letters: readonly string[]) {
    for (const letter of letters) this.#states.set(letter, 'live');
  }

  stateOf(letter: string): ProcessState {
    return letter === STORE ? 'live' : (this.#states.get(letter) as ProcessState);
  }

  setState(letter: string, state: ProcessState): void {
    this.#states.set(letter, state);
  }

  send(from: string, to: string, text: string, deliver: () => void, lossy = false): void {
    // What a process that is gone, or frozen, seems to do is the rest of what it did before.
    if (this.stateOf(from) === 'gone') return;
    const link = `${from}${to}${lossy ? '=' : ''}`;
    const queue = this.#links.get(link) ?? [];
    this.#links.set(link, queue);
    queue.push({ order: this.#sent++, from, to, text, deliver, link, lossy });
  }

  /** What may be delivered next, the oldest first. */
  heads(): Message[] {
    const heads: Message[] = [];
    for (const [link, queue] of this.#links) {
      if (this.stateOf(link[1]!) === 'gone') queue.length = 0;
      const [head] = queue;
      if (head !== undefined && this.stateOf(head.to) === 'live') heads.push(head);
    }
    return heads.sort((a, b) => a.order - b.order);
  }

  take({ link }: Message): Message {
    return this.#links.get(link)!.shift()!;
  }
}
