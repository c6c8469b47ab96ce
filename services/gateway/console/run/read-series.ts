/** The curves of a part of a run, thinned by the trainer. */
import type { GetRunSeriesResponse } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import type { Window } from '../chart/window.js';

/** Enough for every pixel of a wide chart. */
const POINTS = 3000;

/** `window`: undefined is the whole run. @throws RpcError */
export function readSeries(name: string, window: Window | undefined, signal: AbortSignal): Promise<Json<GetRunSeriesResponse>> {
  const range =
    window === undefined ? {} : { fromStep: String(Math.max(0, Math.floor(window.from))), toStep: String(Math.ceil(window.to) + 1) };
  return call('TrainerService/GetRunSeries', { name, points: POINTS, ...range }, { signal });
}
