/**
 * Encodes answers that may have a million rates, in pieces between which the event loop gets its turn. Encoded messages that follow one another decode
 * as one message whose lists are joined, so the bytes mean the same as those of the generated code.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type MessageFns, type Rate, SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';

/** Numbers in a piece: encoding them takes about 5 ms. */
const PIECE = 20_000;

const encoded: unique symbol = Symbol('encoded');

interface Encoded {
  readonly [encoded]?: Buffer;
}

/** Some steps, whose rates have at most `depth` numbers each besides their own. */
export interface RatesQuery {
  readonly steps: readonly number[];
  readonly depth: number;
  readonly ratesAt: (steps: readonly number[]) => Rate[];
}

/**
 * @param rest the answer without its rates
 * @param part an answer that has nothing but some rates
 */
export async function encodeRates<T extends object>(
  type: Pick<MessageFns<T>, 'encode'>,
  rest: T,
  { steps, depth, ratesAt }: RatesQuery,
  part: (rates: Rate[]) => T,
): Promise<T> {
  const together = Math.max(1, Math.floor(PIECE / (1 + depth)));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < steps.length; at += together) {
    if (at > 0) await nextTurn();
    pieces.push(type.encode(part(ratesAt(steps.slice(at, at + together)))).finish());
  }
  pieces.push(type.encode(rest).finish());
  const answer: T & Encoded = { ...rest, [encoded]: Buffer.concat(pieces) };
  return answer;
}

const { getRates, previewSchedule } = SchedulerServiceService;

/** The service's definition, which sends what encodeRates has encoded. */
export const SchedulerService = {
  ...SchedulerServiceService,
  getRates: { ...getRates, responseSerialize: (value: Encoded) => value[encoded] ?? getRates.responseSerialize(value as never) },
  previewSchedule: {
    ...previewSchedule,
    responseSerialize: (value: Encoded) => value[encoded] ?? previewSchedule.responseSerialize(value as never),
  },
} as typeof SchedulerServiceService;
