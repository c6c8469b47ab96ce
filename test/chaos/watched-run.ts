/** One run, watched from outside while the system is shaken: its events in order, and how long it took to go on after a fault. */
import { setTimeout as delay } from 'node:timers/promises';
import { Cancelled, DeadlineExceeded, Unavailable } from '#errors/errors.js';
import { type RunEvent, RunState } from '#protocol/dropstream/v1/trainer.js';
import type { Trainer } from '../support/training.js';

const terminal = new Set([RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED]);
const PAUSE_MS = 100;

export interface Silence {
  readonly ms: number;
  /** The events before and after it. */
  readonly after: string;
  readonly before: string;
}

/** How a run went on after a fault, in milliseconds since the fault. */
export interface Recovered {
  /** When records were written, by the clock of their writer: the claim, where the attempt begins, its first steps. */
  readonly claimed: number;
  readonly resumed: number;
  readonly stepped: number;
  /** When the watch saw the first steps. */
  readonly seen: number;
}

export class WatchedRun {
  events: RunEvent[] = [];
  /** Latest attempt that trains, and the host and process or the name of its worker. */
  owner = '';
  training = false;
  /** True if the present attempt has saved a checkpoint. */
  checkpointed = false;
  ended = false;
  /** Those that the log has, in its order. */
  readonly checkpoints: { readonly name: string; readonly step: number }[] = [];
  /** Number of steps in the log that its newest checkpoint does not have: they are lost if the worker dies now. */
  unsaved = 0;
  /** The longest time without an event. */
  silence: Silence = { ms: 0, after: '', before: '' };
  readonly beganAt = performance.now();
  #lastAt = this.beganAt;
  readonly #waiting = new Set<(event: RunEvent) => void>();

  /** Of the run that has the name, not of a later one; empty before its first event. */
  uid = '';

  constructor(
    readonly name: string,
    readonly kind = 'plain',
  ) {}

  /** Follows the run to its end. `signal` ends the wait with an error. @throws errors that no fault explains */
  async follow(trainer: Trainer, signal: AbortSignal): Promise<void> {
    while (!this.ended) {
      signal.throwIfAborted();
      try {
        const afterSequence = this.events.at(-1)?.sequence ?? 0n;
        for await (const { event } of trainer.watchRun({ name: this.name, afterSequence, uid: this.uid }, { signal })) this.#take(event!);
      } catch (error) {
        if (signal.aborted)
          throw new Error(`${this.name} did not end in time; its last event is ${this.events.at(-1)?.event?.$case}`, { cause: error });
        if (!explained(error)) throw error;
      }
      await delay(PAUSE_MS);
    }
  }

  /** Resolves when an attempt that begins after this call records a step; to undefined if the run ends first or `limitMs` is over. */
  async recovery(limitMs: number): Promise<Recovered | undefined> {
    const began = performance.now();
    const beganAt = Date.now();
    return await new Promise((resolve) => {
      let claimed = 0;
      let resumed: number | undefined;
      const finish = (value: Recovered | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve(value);
      };
      const timer = setTimeout(() => finish(undefined), limitMs);
      const look = ({ event, time }: RunEvent): void => {
        const at = (time?.getTime() ?? beganAt) - beganAt;
        if (event?.$case === 'claimed') claimed = at;
        if (event?.$case === 'resumed') resumed = at;
        if (event?.$case === 'steps' && resumed !== undefined)
          finish({ claimed, resumed, stepped: at, seen: Math.round(performance.now() - began) });
        if (event?.$case === 'state' && terminal.has(event.value.state)) finish(undefined);
      };
      this.#waiting.add(look);
    });
  }

  /** Resolves when the condition holds, or the run has ended. */
  async until(holds: (run: this) => boolean, signal: AbortSignal): Promise<void> {
    while (!this.ended && !holds(this)) {
      signal.throwIfAborted();
      await delay(20);
    }
  }

  #take(event: RunEvent): void {
    const now = performance.now();
    const ms = Math.round(now - this.#lastAt);
    if (ms > this.silence.ms) this.silence = { ms, after: placeOf(this.events.at(-1)), before: placeOf(event) };
    this.#lastAt = now;
    this.events.push(event);
    const body = event.event;
    if (body?.$case === 'created') this.uid = body.value.run?.uid ?? '';
    if (body?.$case === 'claimed') this.owner = body.value.worker;
    if (body?.$case === 'steps') {
      this.training = true;
      this.unsaved += body.value.steps.length;
    }
    if (body?.$case === 'claimed' || body?.$case === 'state') {
      this.training = false;
      this.checkpointed = false;
      this.unsaved = 0;
    }
    if (body?.$case === 'checkpoint') {
      this.checkpointed = true;
      this.unsaved = 0;
      this.checkpoints.push({ name: body.value.checkpoint, step: Number(body.value.step) });
    }
    if (body?.$case === 'state' && terminal.has(body.value.state)) this.ended = true;
    for (const look of [...this.#waiting]) look(event);
  }
}

const placeOf = (event: RunEvent | undefined): string => (event === undefined ? 'the watch' : `${event.event?.$case} ${event.sequence}`);

/** Errors that a call may meet while processes die and networks are cut. */
const explained = (error: unknown): boolean =>
  error instanceof Unavailable || error instanceof DeadlineExceeded || error instanceof Cancelled || isTimeout(error);

/** The deadline of a single call, which the caller set with a signal. */
const isTimeout = (error: unknown): boolean => error instanceof Error && error.name === 'TimeoutError';

/** Repeats a call until it is answered. `settled`: errors that show that an earlier try was carried out and only its answer was lost. */
export async function insist<T>(
  call: () => Promise<T>,
  signal: AbortSignal,
  settled?: (error: unknown) => boolean,
): Promise<T | undefined> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (tries > 1 && settled?.(error)) return undefined;
      if (!explained(error)) throw error;
    }
    await delay(PAUSE_MS);
  }
}
