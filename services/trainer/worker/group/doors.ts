/** The groups that this process leads, which other workers knock at. */
import { FailedPrecondition, invalid, NotFound, ResourceExhausted } from '#errors/errors.js';
import { RemoteParticipant } from './remote-participant.js';
import type { Rendezvous } from './rendezvous.js';
import type { Roster } from './roster.js';

/** A worker that wants to join. */
export interface Knock {
  /** Resource name of the run. */
  readonly run: string;
  readonly uid: string;
  readonly fence: number;
  readonly worker: string;
  readonly fingerprint: string;
  /** Steps of the state that it has in memory; undefined if it has none. */
  readonly step: number | undefined;
}

/** How workers join one group. */
export interface Door {
  /** Resource name of the run, whose project the caller was authorized for. */
  readonly run: string;
  readonly uid: string;
  /** The claim with which this process leads. */
  readonly fence: number;
  /** Numerics that every member must have. */
  readonly fingerprint: string;
  readonly roster: Roster;
  readonly rendezvous: Rendezvous;
}

/** Names of workers stand in the run's log, in every record of the group. */
const longestName = 300;

export class GroupDoors {
  readonly #doors = new Map<string, Door>();
  readonly #members = new Map<string, { readonly door: Door; readonly member: RemoteParticipant }>();
  #address: string | undefined;

  /** @param silenceMs how long a member may say nothing */
  constructor(private readonly silenceMs: number) {}

  /** host:port of this process's gRPC server for other workers; undefined until it listens. */
  get address(): string | undefined {
    return this.#address;
  }

  set address(address: string | undefined) {
    this.#address = address;
  }

  /** Lets workers join. The returned function ends that. */
  open(door: Door): () => void {
    this.#doors.set(door.uid, door);
    return () => {
      if (this.#doors.get(door.uid) === door) this.#doors.delete(door.uid);
    };
  }

  /**
   * Admits a worker. Whoever called this calls `leave` when the worker's connection ends.
   * @throws InvalidArgument, NotFound, FailedPrecondition, ResourceExhausted
   */
  enter({ run, uid, fence, worker, fingerprint, step }: Knock): RemoteParticipant {
    if (worker.length > longestName) throw invalid('worker', worker.slice(0, longestName), `at most ${longestName} characters`);
    const door = this.#doors.get(uid);
    // A uid of another project's run must not get past the name that was authorized.
    if (door === undefined || door.run !== run || door.fence !== fence)
      throw new NotFound('group', run, { why: 'this worker does not lead it, or not any more' });
    if (fingerprint !== door.fingerprint)
      throw new FailedPrecondition('group', run, `all its workers have the numerics ${door.fingerprint}, and this one has ${fingerprint}`);
    if (door.roster.room === 0) throw new ResourceExhausted(`the group of ${run}`, `${door.roster.size} workers`, { retryAfterMs: 1000 });
    const member = new RemoteParticipant(worker, this.silenceMs, step);
    this.#members.set(member.id, { door, member });
    member.lost.addEventListener('abort', () => this.#members.delete(member.id), { once: true });
    door.roster.admit(member);
    return member;
  }

  /** @throws NotFound if it is no member, or not any more */
  memberOf(id: string): { readonly door: Door; readonly member: RemoteParticipant } {
    const known = this.#members.get(id);
    if (known === undefined) throw new NotFound('member', id, { why: 'its membership has ended' });
    return known;
  }
}
