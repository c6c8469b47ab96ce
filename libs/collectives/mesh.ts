import type { MeshProgram } from './mesh-program.js';

/**
 * What members of a group exchange arrays of floats with. Whoever uses it also has a control connection to every other member, and aborts the mesh when one
 * of those closes.
 */

/** Where the members of a mesh leave their addresses for each other. Values may be up to 64 KiB. */
export interface RendezvousStore {
  set(key: string, value: Uint8Array): Promise<void>;
  /** Resolves when the key is there; rejects when the signal aborts. */
  get(key: string, signal: AbortSignal): Promise<Uint8Array>;
}

export interface MeshOptions {
  readonly rank: number;
  readonly size: number;
  /** Address of this machine to which the mesh binds, and which the others connect to. */
  readonly host: string;
  /** For this mesh alone: a later mesh of the same members must not see the keys of this one. */
  readonly store: RendezvousStore;
  /** How long the whole of connecting may take. */
  readonly connectTimeoutMs: number;
  /** How long a transfer may make no progress before the mesh counts as lost: what notices frozen members and cut networks. */
  readonly transferTimeoutMs: number;
  /** Aborts the mesh, while it connects and later. */
  readonly signal: AbortSignal;
}

/**
 * Connections between all members of a group, each of which is a process with a rank from 0 to size - 1. Transfers and sums run on threads of their own, and
 * never on the event loop's. Arrays are used in place: do not change or transfer them, or use those that are received into, before the promise settles.
 */
export interface Mesh {
  readonly rank: number;
  readonly size: number;
  /**
   * A receive takes what was sent with the same tag and the same number of values; only one such transfer may run in one direction at a time. A send
   * ends when the receive is there. Tags are whole numbers below 2^30 - 1.
   * Rejects with MeshAborted after abort(), and with MeshFailed if a member is gone or too slow; the mesh is of no use afterwards.
   */
  send(to: number, tag: number, values: Float32Array): Promise<void>;
  receive(from: number, tag: number, into: Float32Array): Promise<void>;
  /** Executes transfers and sums in one order; what the exchange and copies of states consist of. Rejects as transfers do. */
  run(program: MeshProgram, arrays: readonly Float32Array[]): Promise<void>;
  /** Ends every transfer that runs, at once, with MeshAborted(reason); the mesh is of no use afterwards, except that it must be closed. */
  abort(reason: string): void;
  /** Ends transfers that still run, closes all connections, and resolves when nothing of the mesh is left. */
  close(): Promise<void>;
}

/** abort() was called, or the signal aborted. */
export class MeshAborted extends Error {
  override readonly name = 'MeshAborted';
  constructor(
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`the exchange between members was aborted: ${reason}`, options);
  }
}

/** A member did not connect, is gone, or is too slow. */
export class MeshFailed extends Error {
  override readonly name = 'MeshFailed';
  constructor(
    /**
     * The member of whom nothing was heard, or whose connection closed, which may be because it gave up on another one first; undefined if it is not
     * known who.
     */
    readonly peer: number | undefined,
    readonly why: string,
    options?: ErrorOptions,
  ) {
    super(`the exchange ${peer === undefined ? 'between members' : `with member ${peer}`} failed: ${why}`, options);
  }
}

/** The addon with Gloo is not there. `reason` says what to install. */
export class CollectivesAbsent extends Error {
  override readonly name = 'CollectivesAbsent';
  constructor(
    readonly reason: string,
    options?: ErrorOptions,
  ) {
    super(`several workers cannot train one run here: ${reason}`, options);
  }
}
