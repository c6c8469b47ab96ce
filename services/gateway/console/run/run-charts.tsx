/** The curves of a run. They share the part that is shown, the cursor and the smoothing. */
import { useMemo, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import { Chart } from '../chart/chart.js';
import type { Window } from '../chart/window.js';
import { count, significant } from '../format/numbers.js';
import type { RunHistory } from '../history/run-history.js';
import type { ColumnName } from '../history/step-columns.js';
import type { Points } from '../series/downsample.js';
import { Waiting } from '../widgets/notes.js';
import { bandsOf } from './bands.js';
import { ChartControls, type ChartView, firstView } from './chart-controls.js';
import { curves, linesOf, scoreCharts, scoreLines } from './curves.js';

interface Props {
  readonly run: Json<Run>;
  readonly history: RunHistory;
  readonly version: number;
  readonly complete: boolean;
  /** The metric of each step, or of those that the trainer chose for the part that is shown. */
  readonly column: (name: ColumnName) => Points;
  /** The part that is shown; undefined: everything. */
  readonly window: Window | undefined;
  readonly onWindow: (window: Window | undefined) => void;
}

export function RunCharts({ run, history, version, complete, column, window, onWindow }: Props) {
  const [view, setView] = useState<ChartView>(firstView);
  const done = Math.max(num(run.step), (history.steps.steps.at(-1) ?? -1) + 1);
  const total = num(run.totalSteps);
  const full = { from: 0, to: Math.max(1, view.whole ? total : done) };
  const imagesPerStep = (run.spec?.batchSize ?? 64) * (run.spec?.updateFreq ?? 1);
  const bands = useMemo(() => bandsOf(history.segments), [history.segments]);
  const drawn = useMemo(() => {
    const source = { history, column, imagesPerStep, label: 'value', color: 0 };
    return [
      ...curves.map((curve) => ({ ...curve, log: view.log && curve.canLog === true, lines: linesOf(curve, source, view) })),
      ...scoreCharts.map((chart) => ({ ...chart, log: false, lines: scoreLines(history, chart.which, 'weights', 2) })),
    ].filter(({ lines }) => lines.some(({ x }) => x.length > 0));
  }, [history, column, version, view, imagesPerStep]);
  const perEpoch = num(run.stepsPerEpoch) || 1;
  const formatX = view.axis === 'epoch' ? (x: number) => significant(x / perEpoch, 4) : (x: number) => count(x);
  return (
    <section aria-label="Curves">
      <ChartControls view={view} onView={setView} zoomed={window !== undefined} onReset={() => onWindow(undefined)} />
      {!complete && history.steps.length === 0 && <Waiting what="Reading the log" />}
      {complete && drawn.length === 0 && <p class="muted">No step has been trained yet. Curves appear here with the first one.</p>}
      <div class="charts">
        {drawn.map(({ id, title, format, formatAxis, log, lines }) => (
          <Chart
            key={id}
            title={title}
            lines={lines}
            version={drawn}
            full={full}
            window={window}
            onWindow={onWindow}
            format={format}
            formatAxis={formatAxis}
            formatX={formatX}
            xName={view.axis}
            log={log}
            bands={bands}
            marks={history.marks}
            sync="run"
          />
        ))}
      </div>
      {drawn.length > 0 && <Legend history={history} />}
    </section>
  );
}

/** What bands and marks mean. Only what occurs is explained. */
function Legend({ history: { marks, segments } }: { readonly history: RunHistory }) {
  const has = (kind: string) => marks.some((mark) => mark.kind === kind);
  return (
    <ul class="legend">
      {segments.some(({ startValue = 0 }) => startValue > 0) && (
        <li>
          <i class="sign-band" /> drop is active, darker where the rate is higher
        </li>
      )}
      {has('checkpoint') && (
        <li>
          <i class="sign-checkpoint" /> checkpoint
        </li>
      )}
      {has('evaluation') && (
        <li>
          <i class="sign-evaluation" /> evaluation
        </li>
      )}
      {has('resume') && (
        <li>
          <i class="sign-resume" /> resumed
        </li>
      )}
      {has('schedule') && (
        <li>
          <i class="sign-schedule" /> new revision of the schedule
        </li>
      )}
      {has('failure') && (
        <li>
          <i class="sign-failure" /> failed, or a loss that is no number
        </li>
      )}
      <li class="muted">Drag over a chart to zoom, double-click to show everything.</li>
    </ul>
  );
}
