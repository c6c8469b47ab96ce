/** Data sets: their classes, and what augmentation makes of their images. */
import { useState } from 'preact/hooks';
import { call } from '../api/call.js';
import { num } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { link } from '../app/route.js';
import { count } from '../format/numbers.js';
import { Code, Empty, ErrorNote, Waiting } from '../widgets/notes.js';
import { BatchPreview } from './batch-preview.js';
import { type KnownManifest, readManifests, shortSha } from './known-manifests.js';

export function DataPage({ project, manifest }: { readonly project: string; readonly manifest: string }) {
  const { data, error } = useCall((signal) => readManifests(project, signal), [project]);
  const shown = manifest || data?.[0]?.sha256 || '';
  return (
    <>
      <div class="page-head">
        <h1>Data</h1>
        <form
          class="filter"
          onSubmit={(event) => {
            event.preventDefault();
            const sha256 = String(new FormData(event.currentTarget).get('manifest') ?? '').trim();
            if (sha256 !== '') location.hash = link(`${project}/data/${sha256}`);
          }}
        >
          <label class="grow">
            Manifest
            <input
              name="manifest"
              key={shown}
              defaultValue={shown}
              placeholder="SHA-256 that dropstream data index printed"
              spellcheck={false}
              class="mono"
            />
          </label>
          <button type="submit">Show</button>
        </form>
      </div>
      {error && <ErrorNote error={error} />}
      {!data && !error && <Waiting what="Looking for data sets" />}
      {data && shown === '' && (
        <Empty title="No run uses a data set yet.">
          <p>Index one in a terminal, and enter its manifest above:</p>
          <Code label="Command that indexes a data set" text="dropstream data index ~/images" />
        </Empty>
      )}
      {shown !== '' && (
        <div class="with-list">
          <nav class="list card" aria-label="Data sets">
            {(data ?? []).map((known) => (
              <a
                key={known.sha256}
                href={link(`${project}/data/${known.sha256}`)}
                aria-current={known.sha256 === shown ? 'true' : undefined}
              >
                <strong class="mono">{shortSha(known.sha256)}</strong>
                <small>{uses(known)}</small>
              </a>
            ))}
          </nav>
          <Dataset key={shown} project={project} sha256={shown} />
        </div>
      )}
    </>
  );
}

function uses({ training, evaluation }: KnownManifest): string {
  const told = (runs: readonly string[], what: string) =>
    runs.length === 0 ? [] : [`${what} of ${runs[0]}${runs.length > 1 ? ` and ${runs.length - 1} more` : ''}`];
  return [...told(training, 'training'), ...told(evaluation, 'evaluation')].join(', ');
}

const FIRST = 30;

function Dataset({ project, sha256 }: { readonly project: string; readonly sha256: string }) {
  const [all, setAll] = useState(false);
  const { data, error } = useCall(
    (signal) => call('DataService/DescribeDataset', { parent: project, dataset: { manifest: sha256 } }, { signal }),
    [project, sha256],
  );
  if (error) return <ErrorNote error={error} />;
  if (data === undefined) return <Waiting what="Reading the data set" />;
  const { classes = [], classCounts = [], kind, samples } = data;
  const rows = classes.map((name, k) => ({ name, images: num(classCounts[k]) }));
  const most = Math.max(1, ...rows.map(({ images }) => images));
  return (
    <div class="editor">
      <section class="card" aria-labelledby="classes-title">
        <div class="card-head">
          <h2 id="classes-title">Classes</h2>
          <span class="muted">
            {count(num(samples))} images in {count(classes.length)} classes, format {kind}
          </span>
        </div>
        <ul class="class-counts">
          {(all ? rows : rows.slice(0, FIRST)).map(({ name, images }) => (
            <li key={name}>
              <span>{name}</span>
              <meter value={images} min={0} max={most} aria-label={`Images of ${name}`} />
              <span class="n">{count(images)}</span>
            </li>
          ))}
        </ul>
        {!all && rows.length > FIRST && (
          <button type="button" class="quiet" onClick={() => setAll(true)}>
            Show all {count(rows.length)}
          </button>
        )}
      </section>
      <BatchPreview project={project} sha256={sha256} />
    </div>
  );
}
