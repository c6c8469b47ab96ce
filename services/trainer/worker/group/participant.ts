/** A member of a group as its leader sees it: the leader's own process is one, too. */
import type {
  ComputeOrder,
  DigestAnswer,
  ExchangeAnswer,
  ExchangeOrder,
  FormOrder,
  GiveUpNote,
  LeafResult,
  StandAnswer,
} from '#protocol/dropstream/v1/group.js';

/**
 * Carries out orders. Those other than `stand` run one after another. After `compute`, a member holds the gradients of its leaves until its step is done;
 * a failed exchange, a lost neighbour or a new generation does not change that.
 */
export interface Participant {
  /** Name of its process, for people. */
  readonly worker: string;
  /** Connects with the other members of a generation, and copies the state if it is to. */
  form(order: FormOrder): Promise<void>;
  compute(order: ComputeOrder): Promise<LeafResult[]>;
  /** Takes leaves back that it has not begun to compute; `compute` then resolves without them. */
  giveUp(note: GiveUpNote): void;
  /** Adds the gradients of all leaves and makes the step. */
  exchange(order: ExchangeOrder): Promise<ExchangeAnswer>;
  /** Ends at once what waits for other members, and tells what is there. */
  stand(reason: string): Promise<StandAnswer>;
  digest(): Promise<DigestAnswer>;
}

/** A member is gone, or says nothing any more. */
export class MemberLost extends Error {
  override readonly name = 'MemberLost';
  constructor(
    readonly worker: string,
    readonly why: string,
    options?: ErrorOptions,
  ) {
    super(`member ${worker} is lost: ${why}`, options);
  }
}

/** A member could not carry out an order. */
export class OrderFailed extends Error {
  override readonly name = 'OrderFailed';
  constructor(
    readonly worker: string,
    readonly reason: string,
    /** Rank of the member that caused it, if that is known. */
    readonly peer: number | undefined,
    /** Whether members could not reach each other, so that it may be the fault of another one. */
    readonly betweenMembers: boolean,
  ) {
    super(`member ${worker} could not carry out an order: ${reason}`);
  }
}

/** An order of another step or generation than the member is at: it was given before something that the member knows by now. */
export class StaleOrder extends Error {
  override readonly name = 'StaleOrder';
  constructor(
    readonly order: string,
    readonly found: string,
  ) {
    super(`the order is for ${order}, but the member is at ${found}`);
  }
}
