/**
 * A member in another process, as the leader sees it: orders go out through the stream of its JoinGroup call, answers come in through its AnswerOrder
 * calls. The member is lost when that stream ends, or when nothing was heard of it for too long.
 */
import { randomUUID } from 'node:crypto';
import { FailedPrecondition } from '#errors/errors.js';
import type {
  AnswerOrderRequest,
  ComputeOrder,
  DigestAnswer,
  ExchangeAnswer,
  ExchangeOrder,
  FormOrder,
  GiveUpNote,
  JoinGroupResponse,
  LeafResult,
  StandAnswer,
} from '#protocol/dropstream/v1/group.js';
import { MemberLost, OrderFailed, type Participant } from './participant.js';

type Message = NonNullable<JoinGroupResponse['message']>;
type Answer = NonNullable<AnswerOrderRequest['answer']>;
type AnswerTo<K extends Answer['$case']> = Extract<Answer, { $case: K }>['value'];

interface Pending {
  readonly kind: Answer['$case'];
  readonly resolve: (value: Answer['value']) => void;
  readonly reject: (error: Error) => void;
}

/** Looks at whether the member was heard of, in each time of silence that is allowed. It is asked for a sign of life at each `askEvery`-th. */
const [looks, askEvery] = [20, 4];
/** Largest number of messages that a member may leave unread. */
const mostMessages = 1024;

export class RemoteParticipant implements Participant {
  /** Names the member in its calls; nobody else knows it. */
  readonly id = randomUUID();
  readonly #silenceMs: number;
  readonly #outbox: JoinGroupResponse[] = [];
  readonly #pending = new Map<bigint, Pending>();
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #wake: () => void = () => {};
  #nextOrder = 1n;
  #looks = 0;
  /** Since it was heard of. */
  #silentLooks = 0;
  #leaves = false;
  #leavesIfSpared = false;
  #onChange: () => void = () => {};

  /** Whoever makes it dismisses it. */
  constructor(
    readonly worker: string,
    silenceMs: number,
    /** Optimizer steps of the state that it came with; undefined if it came without one. */
    readonly step?: number | undefined,
  ) {
    this.#silenceMs = silenceMs;
    this.#send(0n, { $case: 'welcome', value: { member: this.id, silenceMs } });
    // Looks are counted, and not time: a leader that was frozen itself must not take everybody else for lost.
    this.#timer = setInterval(() => this.#look(), silenceMs / looks);
    this.#timer.unref();
  }

  /** Aborts with MemberLost. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether it asked to be dismissed, because its process stops. */
  get leaves(): boolean {
    return this.#leaves;
  }

  /** Whether it asked to be dismissed for other work, if the group can spare it. */
  get leavesIfSpared(): boolean {
    return this.#leavesIfSpared;
  }

  /** Called when the member is lost or asks to be dismissed. */
  set onChange(listener: () => void) {
    this.#onChange = listener;
  }

  async form(order: FormOrder): Promise<void> {
    await this.#order('form', { $case: 'form', value: order });
  }

  async compute(order: ComputeOrder): Promise<LeafResult[]> {
    return (await this.#order('compute', { $case: 'compute', value: order })).results;
  }

  giveUp(note: GiveUpNote): void {
    if (!this.#lost.signal.aborted) this.#send(0n, { $case: 'giveUp', value: note });
  }

  exchange(order: ExchangeOrder): Promise<ExchangeAnswer> {
    return this.#order('exchange', { $case: 'exchange', value: order });
  }

  stand(reason: string): Promise<StandAnswer> {
    return this.#order('stand', { $case: 'stand', value: { reason } });
  }

  digest(): Promise<DigestAnswer> {
    return this.#order('digest', { $case: 'digest', value: {} });
  }

  /** Ends the membership without an answer. @param short the run is given back, because it lacks workers */
  dismiss(reason: string, short = false): void {
    if (this.#lost.signal.aborted) return;
    this.#send(0n, { $case: 'dismiss', value: { reason, short } });
    this.#end(reason);
  }

  /** It asks to be dismissed. @param ifSpared for other work */
  leave(ifSpared = false): void {
    if (ifSpared) this.#leavesIfSpared = true;
    else this.#leaves = true;
    this.#onChange();
  }

  /** Its connection has ended, or it is not to be trusted. */
  lose(why: string): void {
    if (this.#lost.signal.aborted) return;
    // If it is only slow or frozen, it learns what became of it when it goes on.
    this.dismiss(why);
    this.#onChange();
  }

  /** The messages to the member, until it is dismissed. Whoever reads them calls lose() when the connection ends. */
  async *messages(): AsyncGenerator<JoinGroupResponse, void, void> {
    for (;;) {
      const next = this.#outbox.shift();
      if (next !== undefined) yield next;
      else if (this.#lost.signal.aborted) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  /** Takes an answer. @throws FailedPrecondition if nobody waits for it */
  answer({ order, answer }: AnswerOrderRequest): void {
    this.#silentLooks = 0;
    if (answer === undefined || answer.$case === 'alive') return;
    const pending = this.#pending.get(order);
    if (pending === undefined) throw new FailedPrecondition('member', this.worker, `nobody waits for its answer to order ${order}`);
    this.#pending.delete(order);
    if (answer.$case === 'failure')
      pending.reject(new OrderFailed(this.worker, answer.value.reason, answer.value.peer, answer.value.betweenMembers));
    else if (answer.$case === pending.kind) pending.resolve(answer.value);
    else pending.reject(new OrderFailed(this.worker, `it answered ${answer.$case} to an order ${pending.kind}`, undefined, false));
  }

  #order<K extends Exclude<Answer['$case'], 'failure' | 'alive'>>(kind: K, message: Message): Promise<AnswerTo<K>> {
    return new Promise((resolve, reject) => {
      if (this.#lost.signal.aborted) return reject(this.#lost.signal.reason as Error);
      const order = this.#nextOrder++;
      this.#pending.set(order, { kind, resolve: resolve as Pending['resolve'], reject });
      this.#send(order, message);
    });
  }

  #send(order: bigint, message: Message): void {
    this.#outbox.push({ order, message });
    this.#wake();
  }

  #look(): void {
    this.#silentLooks++;
    this.#looks++;
    if (this.#silentLooks >= looks) this.lose(`nothing was heard of it for ${this.#silenceMs} ms`);
    else if (this.#outbox.length > mostMessages) this.lose(`it does not read its orders`);
    else if (this.#looks % askEvery === 0) this.#send(0n, { $case: 'alive', value: {} });
  }

  #end(why: string): void {
    clearInterval(this.#timer);
    const lost = new MemberLost(this.worker, why);
    this.#lost.abort(lost);
    for (const { reject } of this.#pending.values()) reject(lost);
    this.#pending.clear();
    this.#wake();
  }
}
