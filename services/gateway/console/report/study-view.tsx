/** How the arms of a study compare: means and bands over the seeds in the console's charts, and the tables of the tests. */
import { useMemo, useState } from 'preact/hooks';
import type { ReportChart, ReportLine, ReportStudy, ReportTable } from '#client/report-data.js';
import { num } from '../api/json.js';
import { Chart } from '../chart/chart.js';
import { fullWindow, type Line } from '../chart/plot-data.js';
import { signClass } from '../chart/theme.js';
import type { Window } from '../chart/window.js';
import { significant } from '../format/numbers.js';

export function StudyView({ study: { notes, charts, sections } }: { readonly study: ReportStudy }) {
  const [window, setWindow] = useState<Window | undefined>();
  const arms = useMemo(() => [...new Set(charts.flatMap(({ lines }) => lines.map(({ arm }) => arm)))], [charts]);
  const drawn = useMemo(() => charts.map((chart) => ({ title: chart.title, lines: linesOf(chart, arms) })), [charts, arms]);
  const full = fullWindow(drawn.flatMap(({ lines }) => lines));
  return (
    <>
      {notes.map((note) => (
        <p class="note" key={note}>
          {note}
        </p>
      ))}
      <ul class="legend runs-legend">
        {arms.map((arm, k) => (
          <li key={arm}>
            <i class={signClass(k)} /> {arm}
          </li>
        ))}
      </ul>
      <div class="charts">
        {drawn.map(({ title, lines }) => (
          <Chart
            key={title}
            title={title}
            lines={lines}
            version={drawn}
            full={full}
            window={window}
            onWindow={setWindow}
            format={(y) => significant(y, 4)}
            formatX={(x) => significant(x, 4)}
            xName="epoch"
            sync="study"
            height={200}
          />
        ))}
      </div>
      {sections.map(({ title, text, tables }, k) => (
        <section class="card" key={title} aria-labelledby={`section-${k}`}>
          <h2 id={`section-${k}`}>{title}</h2>
          {text !== '' && <p class="muted">{text}</p>}
          {tables.map((table, at) => (
            <Table key={at} table={table} label={`${title}, table ${at + 1}`} />
          ))}
        </section>
      ))}
    </>
  );
}

/** The mean of each arm with the edges of its band, which has gaps where there is no interval. */
const linesOf = ({ lines }: ReportChart, arms: readonly string[]): Line[] =>
  lines.flatMap(({ arm, points }) => {
    const color = arms.indexOf(arm);
    const x = Float64Array.from(points, ([epoch]) => epoch);
    const column = (of: 1 | 2 | 3) => Float64Array.from(points, (point: ReportLine['points'][number]) => num(point[of] ?? 'NaN'));
    const mean: Line = { label: arm, color, x, y: column(1), dots: points.length <= 30 };
    if (points.every((point) => point.length === 2)) return [mean];
    return [
      { label: `upper end of ${arm}`, color, x, y: column(3), faint: true, fillToNext: true },
      { label: `lower end of ${arm}`, color, x, y: column(2), faint: true },
      mean,
    ];
  });

/** It may be wider than a narrow screen, and is moved by the keyboard, too. */
function Table({ table: { columns, rows }, label }: { readonly table: ReportTable; readonly label: string }) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must have the focus, so that keys can scroll it
    <section class="table-frame flat" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map(({ title, isNumber }, k) => (
              <th scope="col" key={k} class={isNumber ? 'n' : ''}>
                {title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row, k) => (
            <tr key={k}>
              {row.map((text, at) =>
                at === 0 ? (
                  <th scope="row" key={at}>
                    {text}
                  </th>
                ) : (
                  <td key={at} class={columns[at]?.isNumber ? 'n' : ''}>
                    {text}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </section>
  );
}
