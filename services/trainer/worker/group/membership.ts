/** The calls of one membership, as the member makes them: it reads orders, has them carried out, and answers. */
import { setTimeout as delay } from 'node:timers/promises';
import { orAborted } from '#bounds/or-aborted.js';
import { MeshAborted, MeshFailed, type RendezvousStore } from '#collectives/index.js';
import { FailedPrecondition, NotFound, PermissionDenied, ResourceExhausted } from '#errors/errors.js';
import { hidePlaces } from '#errors/hide-places.js';
import type { AnswerOrderRequest, GroupServiceService, JoinGroupResponse } from '#protocol/dropstream/v1/group.js';
import type { TypedClient } from '#rpc/client.js';
import type { Logger } from '#telemetry/logger.js';
import type { LocalParticipant } from './local-participant.js';

export type GroupClient = TypedClient<typeof GroupServiceService>;

/** How long the answer to an order, and the first message of the leader, may take. */
const answerMs = 10_000;
const welcomeMs = 3000;

export type MembershipEnd =
  /** The leader has dismissed the member. */
  | 'dismissed'
  /** The leader has dismissed the member, and gives the run back, because it lacks workers. */
  | 'short'
  /** The leader is lost, or does not answer. */
  | 'orphaned';

interface MembershipOptions {
  readonly client: GroupClient;
  /** Resource name of the run. */
  readonly run: string;
  readonly logger: Logger;
  /** Called when the leader has taken this worker in. */
  readonly onWelcome?: () => void;
  /** Aborts when the membership ends. */
  readonly signal: AbortSignal;
}

/** One membership. */
export class Membership {
  readonly #options: MembershipOptions;
  #member = '';
  #silenceMs = welcomeMs;
  readonly #ended = new AbortController();
  /** Aborts when an answer could not be given. */
  readonly #broken = new AbortController();

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  /** Carries out orders until the leader dismisses this worker or is lost. @throws what the leader refuses the worker with */
  async serve(messages: AsyncIterable<JoinGroupResponse>, local: LocalParticipant): Promise<MembershipEnd> {
    const { logger, signal } = this.#options;
    try {
      for await (const { order, message } of withinSilence(
        messages,
        () => this.#silenceMs,
        AbortSignal.any([signal, this.#broken.signal]),
      )) {
        switch (message?.$case) {
          case 'welcome':
            this.#member = message.value.member;
            this.#silenceMs = message.value.silenceMs;
            this.#options.onWelcome?.();
            logger.info({ member: this.#member }, 'this worker helps with a run');
            break;
          case 'alive':
            void this.#answer(0n, { $case: 'alive', value: {} });
            break;
          case 'dismiss':
            logger.info({ reason: message.value.reason, step: local.step }, 'this worker does not help with the run any more');
            return message.value.short ? 'short' : 'dismissed';
          case 'form':
            void this.#carryOut(order, local.form(message.value), () => ({ $case: 'form', value: {} }));
            break;
          case 'compute':
            void this.#carryOut(order, local.compute(message.value), (results) => ({ $case: 'compute', value: { results } }));
            break;
          case 'giveUp':
            local.giveUp(message.value);
            break;
          case 'exchange':
            void this.#carryOut(order, local.exchange(message.value), (value) => ({ $case: 'exchange', value }));
            break;
          case 'stand':
            void this.#carryOut(order, local.stand(message.value.reason), (value) => ({ $case: 'stand', value }));
            break;
          case 'digest':
            void this.#carryOut(order, local.digest(), (value) => ({ $case: 'digest', value }));
            break;
        }
      }
      logger.warn({ step: local.step }, 'the leader of the run has closed the connection');
    } catch (error) {
      if (signal.aborted) return 'dismissed';
      if (this.#member === '' && isRefusal(error)) throw error;
      logger.warn({ error, step: local.step }, 'the leader of the run is lost');
    } finally {
      this.#ended.abort();
    }
    return 'orphaned';
  }

  /** Asks to be dismissed, because this process stops, at the end of the step under way; resolves when that has happened, or after `withinMs`. */
  async leave(withinMs: number): Promise<void> {
    if (this.#member === '') return;
    await this.#askToLeave(false);
    await delay(withinMs, undefined, { signal: this.#ended.signal }).catch(() => undefined);
  }

  /** Asks to be dismissed for other work, at the end of a step after which the group can spare this worker. The membership goes on until then. */
  async leaveIfSpared(): Promise<void> {
    await this.#askToLeave(true);
  }

  async #askToLeave(ifSpared: boolean): Promise<void> {
    const { client, run, logger } = this.#options;
    if (this.#member === '') return;
    await client
      .leaveGroup({ run, member: this.#member, ifSpared }, { timeoutMs: answerMs })
      .catch((error) => logger.warn({ error }, 'the leader does not answer'));
  }

  keysOf(generation: number): RendezvousStore {
    const { client, run, signal } = this.#options;
    const named = (key: string) => ({ run, member: this.#member, generation: BigInt(generation), key });
    return {
      set: async (key, value) => {
        await client.putKey({ ...named(key), value: Buffer.from(value) }, { timeoutMs: answerMs, signal });
      },
      get: async (key, waiting) => (await client.getKey(named(key), { signal: AbortSignal.any([waiting, signal]) })).value,
    };
  }

  async #carryOut<T>(order: bigint, work: Promise<T>, answerOf: (result: T) => NonNullable<AnswerOrderRequest['answer']>): Promise<void> {
    const { logger, signal } = this.#options;
    const answer = await work.then(answerOf, (error: unknown): NonNullable<AnswerOrderRequest['answer']> => {
      if (!signal.aborted) logger.warn({ error, order: Number(order) }, 'an order of the leader could not be carried out');
      const betweenMembers = error instanceof MeshFailed || error instanceof MeshAborted;
      const peer = error instanceof MeshFailed ? error.peer : undefined;
      return { $case: 'failure', value: { reason: hidePlaces((error as Error).message), peer, betweenMembers } };
    });
    await this.#answer(order, answer);
  }

  async #answer(order: bigint, answer: NonNullable<AnswerOrderRequest['answer']>): Promise<void> {
    const { client, run, signal, logger } = this.#options;
    if (signal.aborted) return;
    try {
      await client.answerOrder({ run, member: this.#member, order, answer }, { timeoutMs: answerMs, signal, idempotent: true });
    } catch (error) {
      if (signal.aborted) return;
      // A repeated answer that had arrived before, or one that nobody waits for any more; or the membership has ended, and the stream is about to say so:
      // whether the leader has dismissed this worker or is lost makes a difference.
      if (error instanceof FailedPrecondition || error instanceof NotFound)
        return logger.debug({ error, order: Number(order) }, 'the leader did not wait for an answer');
      // A leader that waits for an answer which never comes would wait for ever.
      this.#broken.abort(error);
    }
  }
}

/** Whether the leader has answered, and does not want the worker. */
const isRefusal = (error: unknown): boolean =>
  error instanceof FailedPrecondition ||
  error instanceof NotFound ||
  error instanceof ResourceExhausted ||
  error instanceof PermissionDenied;

/** The same messages; throws if none comes for that long. */
async function* withinSilence<T>(messages: AsyncIterable<T>, silenceMs: () => number, signal: AbortSignal): AsyncGenerator<T, void, void> {
  const iterator = messages[Symbol.asyncIterator]();
  try {
    for (;;) {
      const silence = new AbortController();
      // The time of a process that was frozen itself does not count at once: the messages that wait are read first.
      const timer = setTimeout(
        () => setTimeout(() => silence.abort(new Error(`the leader said nothing for ${silenceMs()} ms`)), 100),
        silenceMs(),
      );
      try {
        const next = await orAborted(iterator.next(), AbortSignal.any([silence.signal, signal]));
        if (next.done) return;
        yield next.value;
      } finally {
        clearTimeout(timer);
      }
    }
  } finally {
    // Not awaited: the generator may still wait for a message, until the caller ends the call.
    iterator.return?.().then(undefined, () => {});
  }
}
