/** A report: the views of the console on data that lies in the same file. */
import { shortNames } from '#errors/short-names.js';
import { link } from '../app/route.js';
import { useRoute } from '../app/use-route.js';
import { CompareView } from '../compare/compare-view.js';
import { Brand } from '../widgets/icons.js';
import { Code, Empty } from '../widgets/notes.js';
import type { Report, ReportedRun } from './read-report.js';
import { ReportHead } from './report-head.js';
import { ReportRunView } from './report-run-view.js';
import { SampleImages } from './sample-images.js';
import { StudyView } from './study-view.js';

export function ReportApp({ report }: { readonly report: Report }) {
  const { page, project, id } = useRoute();
  const { runs, study, images, environment, commands } = report;
  const chosen = page === 'run' ? runs.find(({ name }) => name === `${project}/runs/${id}`) : runs.length === 1 ? runs[0] : undefined;
  const isWhole = page === 'runs';
  return (
    <>
      <header class="header">
        <a class="brand" href="#/">
          <Brand />
          <span>Dropstream</span>
        </a>
        {runs.length > 1 && <Runs runs={runs} chosen={chosen} />}
      </header>
      <main id="main">
        {(isWhole || runs.length === 1) && <ReportHead report={report} />}
        {chosen !== undefined && <ReportRunView key={chosen.name} reported={chosen} alone={runs.length === 1} />}
        {chosen === undefined && isWhole && runs.length > 1 && <CompareView compared={runs} version={0} />}
        {isWhole && study !== undefined && <StudyView study={study} />}
        {chosen === undefined && !isWhole && (
          <Empty page title="This report has no such page.">
            <p>
              <a href="#/">Go to its beginning</a>
            </p>
          </Empty>
        )}
        {isWhole && images.length > 0 && <SampleImages images={images} />}
        {isWhole && (commands.length > 0 || environment.length > 0) && (
          <div class="columns">
            {commands.length > 0 && (
              <section class="card" aria-labelledby="next-title">
                <h2 id="next-title">What to try next</h2>
                {commands.map((command) => (
                  <Code key={command} label={command} text={command} />
                ))}
              </section>
            )}
            {environment.length > 0 && (
              <section class="card" aria-labelledby="environment-title">
                <h2 id="environment-title">Environment</h2>
                <table class="options">
                  <tbody>
                    {environment.map(([title, value]) => (
                      <tr key={title}>
                        <th scope="row">{title}</th>
                        <td>{value}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </section>
            )}
          </div>
        )}
      </main>
    </>
  );
}

function Runs({ runs, chosen }: { readonly runs: readonly ReportedRun[]; readonly chosen: ReportedRun | undefined }) {
  const labels = shortNames(runs.map(({ name }) => name));
  return (
    <nav aria-label="Runs">
      <a href="#/" aria-current={chosen === undefined ? 'page' : undefined}>
        Compared
      </a>
      {runs.map(({ name }, k) => (
        <a key={name} href={link(name)} aria-current={chosen?.name === name ? 'page' : undefined}>
          {labels[k]}
        </a>
      ))}
    </nav>
  );
}
