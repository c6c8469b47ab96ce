/** A worker that helps with one run: its program, its state of the run, and one membership after another. */

import type { Program } from '#engine/index.js';
import { Cancelled } from '#errors/errors.js';
import { GroupServiceClient } from '#protocol/dropstream/v1/group.js';
import { connect } from '#rpc/client.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import type { Membership as QueueMembership } from '#work/memberships.js';
import type { QueueEntry } from '#work/queue-index.js';
import { runName } from '../../run/run-log.js';
import { asResolved, workersOf } from '../../run/run-spec.js';
import type { RunView } from '../../run/run-state.js';
import { claimedEngine } from '../engine-choices.js';
import { newestNumerics } from '../newest-numerics.js';
import { groupBatches } from './group-batches.js';
import type { Inheritance } from './inheritance.js';
import type { JoinRunOptions } from './join-run.js';
import { LocalParticipant } from './local-participant.js';
import { Membership, type MembershipEnd } from './membership.js';
import { Standby } from './standby.js';

export interface HelperOptions extends JoinRunOptions {
  readonly entry: QueueEntry;
  readonly view: RunView;
  readonly membership: Pick<QueueMembership, 'leaving' | 'stopping'>;
}

export class Helper {
  readonly #options: HelperOptions;
  readonly #program: Program;
  readonly #standby: Standby;
  readonly #local: LocalParticipant;
  readonly #batches: ReturnType<typeof groupBatches>;
  readonly #ending = new AbortController();
  #membership: Membership | undefined;
  /** Aborts when the present membership ends: what it still waits for is of no use then, and a worker that stops must not wait for data. */
  #ended: AbortSignal = this.#ending.signal;
  #handedOver = false;
  #memberships = 0;

  private constructor(options: HelperOptions, program: Program) {
    const { entry, view, worker, host, silenceMs, data, logger } = options;
    const spec = asResolved(view.run.spec!);
    const stepsPerEpoch = Number(view.run.stepsPerEpoch);
    const { signal } = this.#ending;
    this.#options = { ...options, logger: logger.child({ project: entry.project, run: entry.id }) };
    this.#program = program;
    this.#standby = new Standby(stepsPerEpoch, spec.batchSize * spec.updateFreq);
    this.#batches = groupBatches({ data, project: entry.project, spec, stepsPerEpoch, program, logger: this.#options.logger, signal });
    this.#local = new LocalParticipant({
      worker,
      program,
      spec,
      dropKind: view.dropKind,
      batches: {
        use: (leaves, step) => this.#batches.use(leaves, step),
        take: (step, leaf, waits) => this.#batches.take(step, leaf, AbortSignal.any([waits, this.#ended])),
      },
      host,
      silenceMs,
      step: 0,
      standby: this.#standby,
      signal,
      keysOf: (generation) => this.#membership!.keysOf(generation),
    });
  }

  /** Compiles the model of the run. The caller closes the helper. */
  static async prepare(options: HelperOptions): Promise<Helper> {
    const { entry, view, programs, store } = options;
    const { leaving } = options.membership;
    const spec = asResolved(view.run.spec!);
    const like = (await newestNumerics(store, view.checkpoints, entry.uid, leaving))?.fingerprint;
    return new Helper(options, await programs.compile({ uid: entry.uid, spec, like }, claimedEngine(view)));
  }

  /** What this worker can lead the run with; undefined if it has no state of the run. */
  get inheritance(): Inheritance | undefined {
    const { progress, steps } = this.#standby;
    if (progress === undefined) return undefined;
    return { program: this.#program, step: this.#local.step, progress, steps, expected: this.#local.size - 1 };
  }

  /** Number of memberships that a leader has welcomed this worker to. */
  get memberships(): number {
    return this.#memberships;
  }

  /** Whether the group has enough workers without this one, as far as this one knows. */
  get isSpared(): boolean {
    return this.#local.size > workersOf(this.#options.view.run.spec!).min;
  }

  /** Is a member of a leader's group until the membership ends. @throws what the leader refuses the worker with */
  async help({ fence, address }: { readonly fence: number; readonly address: string }): Promise<MembershipEnd> {
    const { entry, worker, connect: caller, metrics, logger, stopStepMs } = this.#options;
    const { leaving, stopping } = this.#options.membership;
    const run = runName(entry.project, entry.id);
    const client = connect(GroupServiceClient, address, caller);
    const ending = new AbortController();
    const signal = AbortSignal.any([ending.signal, this.#ending.signal]);
    const onWelcome = (): void => {
      this.#memberships++;
      // It may have been asked to leave before, when there was no leader to ask.
      if (leaving.aborted) leave();
    };
    const membership = new Membership({ client, run, logger, signal, onWelcome });
    this.#membership = membership;
    this.#ended = signal;
    const stop = (): void => void membership.leave(stopStepMs).finally(() => ending.abort(new Cancelled('the membership')));
    const leave = (): void => void membership.leaveIfSpared();
    stopping.addEventListener('abort', stop, { once: true });
    leaving.addEventListener('abort', leave, { once: true });
    if (stopping.aborted) stop();
    metrics.joined.inc();
    const step = this.#standby.progress === undefined ? undefined : BigInt(this.#local.step);
    const request = { run, runUid: entry.uid, fence: BigInt(fence), worker, fingerprint: fingerprintLine(this.#program.fingerprint), step };
    try {
      return await membership.serve(client.joinGroup(request, { signal }), this.#local);
    } finally {
      stopping.removeEventListener('abort', stop);
      leaving.removeEventListener('abort', leave);
      ending.abort(new Cancelled('the membership'));
      // What the former leader ordered is of no use any more; the state stays.
      this.#local.cancel();
      await this.#local.stand('the membership has ended');
      client.close();
    }
  }

  /** Fetches no more batches until the next membership, and keeps no connection and no memory but the state of the run. */
  async rest(): Promise<void> {
    await this.#local.close();
    await this.#batches.close();
  }

  /** The program belongs to somebody else now. */
  handOver(): void {
    this.#handedOver = true;
  }

  async close(): Promise<void> {
    this.#ending.abort(new Cancelled('the membership'));
    if (!this.#handedOver) this.#local.cancel();
    await this.#local.close();
    await this.#batches.close();
    if (!this.#handedOver) this.#program.dispose();
  }
}
