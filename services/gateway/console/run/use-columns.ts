/** The metrics of a run's steps for its charts: from the log, or, if the run is long, thinned by the trainer for the part that is shown. */
import { useCallback, useEffect, useState } from 'preact/hooks';
import type { GetRunSeriesResponse, Run } from '#protocol/dropstream/v1/trainer.js';
import type { Json } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import type { Window } from '../chart/window.js';
import type { RunHistory } from '../history/run-history.js';
import { seriesPoints } from '../history/series-columns.js';
import type { ColumnName } from '../history/step-columns.js';
import type { Points } from '../series/downsample.js';
import { isLong } from './begin-history.js';
import { readSeries } from './read-series.js';

/** A zoom that is still moving asks for nothing. */
const PAUSE_MS = 120;

export function useColumns(run: Json<Run>, history: RunHistory, window: Window | undefined): (name: ColumnName) => Points {
  const { name = '', uid = '' } = run;
  const [long] = useState(() => isLong(run));
  const whole = useCall(async (signal) => (long ? await readSeries(name, undefined, signal) : undefined), [uid, long]);
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
      readSeries(name, window, end.signal).then(
        (series) => !end.signal.aborted && setRead({ window, series }),
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
