/**
 * Encodes answers of GetRates, which may have a million numbers, in pieces between which the event loop gets its turn. Encoded messages that follow one
 * another decode as one message whose lists are joined, so the bytes mean the same as those of the generated code.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { GetRatesResponse, type Rate, SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';

/** Numbers in a piece: encoding them takes about 5 ms. */
const PIECE = 20_000;

const encoded: unique symbol = Symbol('encoded');

type EncodedRates = GetRatesResponse & { readonly [encoded]?: Buffer };

/** @param ratesAt the rates of some steps; each has at most `depth` numbers besides its own */
export async function encodeRates(
  steps: readonly number[],
  depth: number,
  revision: bigint,
  ratesAt: (steps: readonly number[]) => Rate[],
): Promise<GetRatesResponse> {
  const together = Math.max(1, Math.floor(PIECE / (1 + depth)));
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < steps.length; at += together) {
    if (at > 0) await nextTurn();
    pieces.push(GetRatesResponse.encode({ rates: ratesAt(steps.slice(at, at + together)), revision: 0n }).finish());
  }
  pieces.push(GetRatesResponse.encode({ rates: [], revision }).finish());
  const answer: EncodedRates = { rates: [], revision, [encoded]: Buffer.concat(pieces) };
  return answer;
}

/** The service's definition, which sends what encodeRates has encoded. */
export const SchedulerService = {
  ...SchedulerServiceService,
  getRates: {
    ...SchedulerServiceService.getRates,
    responseSerialize: (value: EncodedRates) => value[encoded] ?? SchedulerServiceService.getRates.responseSerialize(value),
  },
} as typeof SchedulerServiceService;
