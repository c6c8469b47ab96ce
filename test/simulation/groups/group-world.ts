/** One execution of a simulated group: its processes, what is between them, and which choices there are. */
import { JoinGroupResponse } from '#protocol/dropstream/v1/group.js';
import type { Knock } from '../../../services/trainer/worker/group/doors.js';
import type { RemoteParticipant } from '../../../services/trainer/worker/group/remote-participant.js';
import type { Violation } from '../execution.js';
import { type Message, Network, type ProcessState } from './network.js';
import { SimulatedLog } from './simulated-log.js';
import { type Meeting, Meshes } from './simulated-mesh.js';
import { SimulatedWorker } from './simulated-worker.js';

export type GroupMutant = 'leader-without-fence' | 'stale-generation';

export interface GroupOptions {
  /** Number of workers, from 1 to 4. */
  readonly workers: number;
  readonly leaves: number;
  readonly steps: number;
  /** A planted fault. */
  readonly mutant?: GroupMutant;
}

/** What a member has of its connection to a leader. */
export interface Line {
  messages(): AsyncIterable<JoinGroupResponse>;
  answer(request: Parameters<RemoteParticipant['answer']>[0]): Promise<void>;
  close(): void;
}

interface Connection {
  readonly member: string;
  readonly leader: string;
  /** Ends it on one side. */
  readonly end: (side: 'member' | 'leader') => void;
}

export class GroupWorld {
  readonly network: Network;
  readonly log: SimulatedLog;
  readonly meshes: Meshes;
  readonly workers: readonly SimulatedWorker[];
  violation: Violation | undefined;
  /** What must be ended after the execution. */
  readonly cleanups: (() => void)[] = [];
  readonly #connections = new Set<Connection>();
  readonly #meetings = new Map<string, readonly string[]>();
  readonly #opened: { readonly letter: string; readonly fence: number }[] = [];
  /** Those that look for a leader; woken with undefined, they give that up. */
  readonly #looking = new Set<(found: boolean) => void>();

  constructor(readonly options: GroupOptions) {
    const letters = [...'abcd'].slice(0, options.workers);
    this.network = new Network(letters);
    this.log = new SimulatedLog(this.network, (violation) => this.fail(violation), options.mutant === 'leader-without-fence');
    this.meshes = new Meshes(this.network, options.mutant === 'stale-generation');
    this.workers = letters.map((letter) => new SimulatedWorker(letter, this));
  }

  fail(violation: Violation): void {
    this.violation ??= violation;
  }

  stateOf(letter: string): ProcessState {
    return this.network.stateOf(letter);
  }

  /** Whether a leader shows life in the store: a frozen one does not. */
  isAlive(letter: string): boolean {
    return this.stateOf(letter) === 'live';
  }

  /** A leader takes members from now on. */
  opens(letter: string, fence: number): void {
    this.#opened.push({ letter, fence });
    for (const wake of [...this.#looking]) wake(true);
  }

  /** The leader of a claim after that one; undefined if there is none after a time in which nothing else happens. */
  async leaderAfter(fence: number, letter: string): Promise<{ readonly letter: string; readonly fence: number } | undefined> {
    for (;;) {
      const found = this.#opened.findLast((one) => one.fence > fence && one.letter !== letter);
      if (found !== undefined) return found;
      const goesOn = await new Promise<boolean>((resolve) => {
        const wake = (value: boolean): void => {
          this.#looking.delete(wake);
          this.network.send(letter, letter, 'looks for a leader', () => resolve(value));
        };
        this.#looking.add(wake);
      });
      if (!goesOn) return undefined;
    }
  }

  /** The members of a generation know each other's letters from the leader. */
  meet(generation: string, letters: readonly string[]): void {
    this.#meetings.set(generation, letters);
  }

  meeting(generation: string): Meeting {
    return { generation, letters: this.#meetings.get(generation) ?? [] };
  }

  knock(member: string, leader: string, knock: Knock): Line {
    const { network } = this;
    const inbox: JoinGroupResponse[] = [];
    let [over, wake, remote]: [boolean, () => void, RemoteParticipant | undefined] = [false, () => {}, undefined];
    const hangUp = (): void => {
      over = true;
      wake();
    };
    const connection: Connection = {
      ...{ member, leader },
      end: (side) => {
        this.#connections.delete(connection);
        if (side === 'member') hangUp();
        else remote?.lose('its connection has ended');
      },
    };
    this.#connections.add(connection);
    const door = this.workers.find(({ letter }) => letter === leader)!.doors;
    network.send(member, leader, 'knocks', () => {
      try {
        remote = door.enter(knock);
      } catch {
        network.send(leader, member, 'refuses', hangUp);
        return;
      }
      void this.#pump(remote, leader, member, inbox, () => wake(), hangUp);
    });
    return {
      async *messages() {
        for (;;) {
          const next = inbox.shift();
          if (next !== undefined) yield next;
          else if (over) return;
          else
            await new Promise<void>((resolve) => {
              wake = resolve;
            });
        }
      },
      // A clone, as the wire makes one.
      answer: (request) =>
        new Promise((resolve) => {
          network.send(member, leader, `answers ${request.answer?.$case}`, () => {
            try {
              remote?.answer(structuredClone(request));
            } catch {
              // Nobody waits for it any more.
            }
            resolve();
          });
        }),
      close: () => network.send(member, leader, 'hangs up', () => connection.end('leader')),
    };
  }

  async #pump(
    remote: RemoteParticipant,
    leader: string,
    member: string,
    inbox: JoinGroupResponse[],
    wake: () => void,
    hangUp: () => void,
  ): Promise<void> {
    for await (const message of remote.messages()) {
      const copy = JoinGroupResponse.decode(JoinGroupResponse.encode(message).finish());
      this.network.send(leader, member, `orders ${message.message?.$case}`, () => {
        inbox.push(copy);
        wake();
      });
    }
    this.network.send(leader, member, 'ends the connection', hangUp);
  }

  /** The process stops for ever, or for a while; those that are connected with it notice, sooner or later. */
  strike(letter: string, state: 'gone' | 'frozen'): void {
    for (const connection of [...this.#connections]) {
      const { member, leader, end } = connection;
      if (member === letter) this.network.send(letter, leader, 'is lost', () => end('leader'));
      if (leader === letter) this.network.send(letter, member, 'is lost', () => end('member'));
    }
    this.network.setState(letter, state);
  }

  /** Ends every wait that a clock would end. @returns whether there was one */
  passTime(): boolean {
    const waits = [...this.meshes.timeouts].filter(({ letter }) => this.stateOf(letter) === 'live');
    for (const { end } of waits) end();
    if (waits.length > 0) return true;
    for (const wake of [...this.#looking]) wake(false);
    return this.network.heads().length > 0;
  }

  deliver(message: Message, lost: boolean): void {
    const taken = this.network.take(message);
    if (!lost) taken.deliver();
  }
}
