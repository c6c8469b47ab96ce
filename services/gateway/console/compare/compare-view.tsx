/** Runs side by side: their curves in the same charts, and the options in which they differ. */
import { useMemo, useState } from 'preact/hooks';
import { shortNames } from '#errors/short-names.js';
import { differences, seedGroups } from '#spec/differences.js';
import { num } from '../api/json.js';
import { link } from '../app/route.js';
import { Chart } from '../chart/chart.js';
import { fullWindow } from '../chart/plot-data.js';
import { signClass } from '../chart/theme.js';
import type { Window } from '../chart/window.js';
import { count, significant } from '../format/numbers.js';
import { stateWord } from '../format/words.js';
import { ChartControls, type ChartView, firstView } from '../run/chart-controls.js';
import { curves, scoreCharts } from '../run/curves.js';
import { StateMark } from '../widgets/icons.js';
import { ErrorNote, Waiting } from '../widgets/notes.js';
import { type Compared, comparedLines, curveLines, evaluationLines, isReady } from './compared-lines.js';

interface Props {
  readonly compared: readonly Compared[];
  /** Changes whenever more is known of one of them. */
  readonly version: unknown;
}

export function CompareView({ compared, version }: Props) {
  const [view, setView] = useState<ChartView>({ ...firstView, smoothing: 0.9 });
  const [window, setWindow] = useState<Window | undefined>();
  const [grouped, setGrouped] = useState(false);
  const ready = compared.filter(isReady);
  const labels = shortNames(compared.map(({ name }) => name));
  const labelOf = (name: string) => labels[compared.findIndex((one) => one.name === name)] ?? name;
  const specs = ready.map(({ run }) => run.spec ?? {});
  const bySeed = seedGroups(specs);
  const groups = grouped ? bySeed : ready.map((_, k) => [k]);
  const charts = useMemo(() => {
    const made = [
      ...curves.map((curve) => ({
        ...curve,
        log: view.log && curve.canLog === true,
        lines: comparedLines(ready, groups, curveLines(curve, view, labelOf)),
      })),
      ...scoreCharts.map((chart) => ({ ...chart, log: false, lines: comparedLines(ready, groups, evaluationLines(chart.which, labelOf)) })),
    ];
    return made.filter(({ lines }) => lines.some(({ x }) => x.length > 0));
  }, [version, view, grouped]);
  const full = fullWindow([
    ...charts.flatMap(({ lines }) => lines),
    ...(view.whole ? ready.map(({ run }) => ({ x: Float64Array.of(0, num(run.totalSteps)) })) : []),
  ]);
  const perEpoch = num(ready[0]?.run.stepsPerEpoch) || 1;
  return (
    <>
      {compared.map(({ name, error }) => error && <ErrorNote key={name} error={error} stale={ready.length > 0} />)}
      {ready.length < compared.length && !compared.some(({ error }) => error) && <Waiting what="Reading logs" />}
      <ul class="legend runs-legend">
        {ready.map(({ name, run }, k) => (
          <li key={name}>
            <i class={signClass(groups.findIndex((group) => group.includes(k)))} />
            <a href={link(name)}>{labelOf(name)}</a> <StateMark state={stateWord(run.state)} />
            <span class="muted">{run.bestTop1 === undefined ? '' : `best ${run.bestTop1.toFixed(2)} %`}</span>
          </li>
        ))}
      </ul>
      <ChartControls view={view} onView={setView} zoomed={window !== undefined} onReset={() => setWindow(undefined)} />
      {bySeed.length < ready.length && (
        <label class="chart-controls">
          <input type="checkbox" checked={grouped} onChange={({ currentTarget }) => setGrouped(currentTarget.checked)} /> Means and ranges
          of runs that differ in their seed only
        </label>
      )}
      <div class="charts">
        {charts.map(({ id, title, format, formatAxis, log, lines }) => (
          <Chart
            key={id}
            title={title}
            lines={lines}
            version={version}
            full={full}
            window={window}
            onWindow={setWindow}
            format={format}
            formatAxis={formatAxis}
            formatX={view.axis === 'epoch' ? (x) => significant(x / perEpoch, 4) : count}
            xName={view.axis}
            log={log}
            sync="compare"
            height={200}
          />
        ))}
      </div>
      {ready.length > 1 && <Differences runs={ready.map(({ name }) => [name, labelOf(name)])} rows={differences(specs)} />}
    </>
  );
}

interface DifferencesProps {
  /** Name and label of each. */
  readonly runs: readonly (readonly [name: string, label: string])[];
  readonly rows: ReturnType<typeof differences>;
}

function Differences({ runs, rows }: DifferencesProps) {
  return (
    <section class="card" aria-labelledby="differences-title">
      <h2 id="differences-title">Options that differ</h2>
      {rows.length === 0 ? (
        <p class="muted">All options are equal.</p>
      ) : (
        <div class="table-frame flat">
          <table>
            <thead>
              <tr>
                <th scope="col">Option</th>
                {runs.map(([name, label]) => (
                  <th scope="col" key={name}>
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(({ name, help, values }) => (
                <tr key={name} title={help}>
                  <th scope="row">{name}</th>
                  {values.map((value, k) => (
                    <td class="mono" key={runs[k]?.[0]}>
                      {value || '–'}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
