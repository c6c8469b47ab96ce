/** Links to the dashboards in Grafana, where the gateway was told where that is. */
import { useCall } from '../api/use-call.js';
import { dashboards } from './dashboard-list.js';

export function Dashboards() {
  const { data } = useCall(readGrafana, []);
  if (data === undefined) return null;
  return (
    <section class="card" aria-labelledby="dashboards-title">
      <h2 id="dashboards-title">Dashboards</h2>
      {data === '' ? (
        <p class="muted">
          The gateway knows no Grafana. With <code>--grafana ADDRESS</code>, this page links to the dashboards that come with Dropstream.
        </p>
      ) : (
        <ul class="buttons">
          {dashboards.map(([uid, title]) => (
            <li key={uid}>
              <a class="button" href={`${data}/d/${uid}`} target="_blank" rel="noreferrer">
                {title}
              </a>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

/** The address of Grafana; '' if there is none. */
async function readGrafana(signal: AbortSignal): Promise<string> {
  const response = await fetch('/console.json', { signal, cache: 'no-store' });
  if (!response.ok) throw new Error(`the gateway answered with HTTP status ${response.status}`);
  return ((await response.json()) as { grafana?: string }).grafana ?? '';
}
