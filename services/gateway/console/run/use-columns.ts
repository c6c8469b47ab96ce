/** The metrics of a run's steps for its charts: from the log, or, if the run is long, thinned by the trainer for the part that is shown. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { GetRunSeriesResponse, Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import type { Window } from '../chart/window.js';
import type { RunHistory } from '../history/run-history.js';
import { seriesPoints } from '../history/series-columns.js';
import type { ColumnName } from '../history/step-columns.js';
import type { Points } from '../series/downsample.js';
import { isLong } from './begin-history.js';

/** Enough for every pixel of a wide chart. */
const POINTS = 3000;
/** A zoom that is still moving asks for nothing. */
const PAUSE_MS = 120;

export function useColumns(run: Json<Run>, history: RunHistory, window: Window | undefined): (name: ColumnName) => Points {
  const { name = '', uid = '' } = run;
  const [long] = useState(() => isLong(run));
  const whole = useCall((signal) => readSeries(name, undefined, long, signal), [uid, long]);
  const zoom = useZoomed(name, long ? window : undefined);
  const series = zoom ?? whole.data;
  return useCallback(
    (column) => (long ? seriesPoints(series ?? {}, column, history.steps) : { x: history.steps.steps, y: history.steps.column(column) }),
    [long, series, history],
  );
}

function useZoomed(name: string, window: Window | undefined): Json<GetRunSeriesResponse> | undefined {
  const [read, setRead] = useState<{ window: Window; series: Json<GetRunSeriesResponse> } | undefined>();
  useEffect(() => {
    if (window === undefined) return setRead(undefined);
    const end = new AbortController();
    const timer = setTimeout(() => {
      readSeries(name, window, true, end.signal).then(
        (series) => series !== undefined && !end.signal.aborted && setRead({ window, series }),
        // The coarser curve stays until the next zoom.
        () => undefined,
      );
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      end.abort();
    };
  }, [name, window?.from, window?.to]);
  // While another part is read, the coarse curve is better than a curve that lies elsewhere.
  return read !== undefined && window !== undefined && window.from >= read.window.from && window.to <= read.window.to
    ? read.series
    : undefined;
}

async function readSeries(
  name: string,
  window: Window | undefined,
  long: boolean,
  signal: AbortSignal,
): Promise<Json<GetRunSeriesResponse> | undefined> {
  if (!long) return undefined;
  const range =
    window === undefined ? {} : { fromStep: String(Math.max(0, Math.floor(window.from))), toStep: String(Math.ceil(window.to) + 1) };
  return await call('TrainerService/GetRunSeries', { name, points: POINTS, ...range }, { signal });
}
