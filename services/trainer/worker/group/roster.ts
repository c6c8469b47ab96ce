/** Who is in a group: its members, and the workers that have joined and wait for the next step. */
import type { Logger } from '#telemetry/logger.js';
import type { GroupMetrics } from './group-metrics.js';
import type { Participant } from './participant.js';
import type { RemoteParticipant } from './remote-participant.js';

export interface RosterOptions {
  readonly leader: Participant;
  /** Number of workers, the leader included, below which those that would leave for other work are kept. */
  readonly least: number;
  /** Largest number of workers, the leader included. */
  readonly most: number;
  /** Called when the number of workers has changed. */
  readonly onSize: () => void;
  readonly metrics: GroupMetrics;
  readonly logger: Logger;
}

export class Roster {
  readonly #options: RosterOptions;
  #members: readonly Participant[];
  #newcomers: readonly RemoteParticipant[] = [];
  #reason = '';
  #closed = false;
  readonly #waiting = new Set<() => void>();

  /** The owner closes it. */
  constructor(options: RosterOptions) {
    this.#options = options;
    this.#members = [options.leader];
  }

  /** Those that take part, the leader first. */
  get members(): readonly Participant[] {
    return this.#members;
  }

  /** Number of workers, the leader and those that wait for the next step included. */
  get size(): number {
    return this.#members.length + this.#newcomers.length;
  }

  /** Number of workers that may still join. */
  get room(): number {
    return this.#closed ? 0 : Math.max(0, this.#options.most - this.size);
  }

  /** Why the members changed last, for people. */
  get reason(): string {
    return this.#reason;
  }

  /** Takes a worker that has joined. */
  admit(newcomer: RemoteParticipant): void {
    const { logger, onSize } = this.#options;
    newcomer.onChange = () => this.#notice(newcomer);
    this.#newcomers = [...this.#newcomers, newcomer];
    logger.info({ member: newcomer.worker, workers: this.size }, 'a worker has joined the run');
    onSize();
    this.wake();
  }

  /** Between two steps: those that want to leave are dismissed, and those that have joined are members from now on. @returns the latter */
  settle(): readonly RemoteParticipant[] {
    const { least, logger, onSize } = this.#options;
    for (const member of this.#members.slice(1) as RemoteParticipant[]) {
      if (!member.leaves && !(member.leavesIfSpared && this.size > least)) continue;
      this.#remove(member);
      this.#reason = `${member.worker} leaves`;
      member.dismiss('it asked to leave');
      logger.info({ member: member.worker, workers: this.size }, 'a worker leaves the run, and the others go on');
      onSize();
    }
    const joined = this.#newcomers;
    this.#newcomers = [];
    this.#members = [...this.#members, ...joined];
    if (joined.length > 0) this.#reason = `${joined.map(({ worker }) => worker).join(', ')} joined`;
    return joined;
  }

  /** Number of calls of change() that have not ended. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /**
   * Resolves when somebody joins, is lost, or wants to leave, when the owner calls wake(), and at the latest after `withinMs`. @throws the signal's reason
   */
  change({ withinMs, signal }: { readonly withinMs: number; readonly signal?: AbortSignal }): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(end);
        signal?.removeEventListener('abort', end);
        if (signal?.aborted) reject(signal.reason as Error);
        else resolve();
      };
      const timer = setTimeout(end, withinMs);
      this.#waiting.add(end);
      signal?.addEventListener('abort', end, { once: true });
      if (signal?.aborted) end();
    });
  }

  wake(): void {
    for (const end of [...this.#waiting]) end();
  }

  /** Dismisses everybody. @param short the run is given back, because it lacks workers */
  close(reason: string, short = false): void {
    this.#closed = true;
    for (const member of [...this.#members.slice(1), ...this.#newcomers] as RemoteParticipant[]) member.dismiss(reason, short);
    this.#members = [this.#options.leader];
    this.#newcomers = [];
    this.wake();
  }

  #notice(member: RemoteParticipant): void {
    const { logger, metrics, onSize } = this.#options;
    if (member.lost.aborted) {
      const { message } = member.lost.reason as Error;
      this.#reason = message;
      this.#remove(member);
      metrics.lost.inc();
      logger.warn({ member: member.worker, workers: this.size, reason: message }, 'a worker of the run is lost, and the others go on');
      onSize();
    }
    this.wake();
  }

  #remove(member: Participant): void {
    this.#members = this.#members.filter((one) => one !== member);
    this.#newcomers = this.#newcomers.filter((one) => one !== member);
  }
}
