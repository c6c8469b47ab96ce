/** What a report is about, and its figures at a glance. */
import type { Report } from './read-report.js';

export function ReportHead({ report: { title, summary, made, facts } }: { readonly report: Report }) {
  return (
    <section class="report-head" aria-labelledby="report-title">
      <h1 id="report-title">{title}</h1>
      {summary !== '' && <p class="prose">{summary}</p>}
      <p class="muted">
        Made <time dateTime={made}>{new Date(made).toLocaleString('en-GB', { dateStyle: 'long', timeStyle: 'short' })}</time>. Everything is
        in this file; nothing is fetched from elsewhere.
      </p>
      {facts.length > 0 && (
        <dl class="facts">
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      )}
    </section>
  );
}
