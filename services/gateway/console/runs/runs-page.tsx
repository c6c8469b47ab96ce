/** All runs of a project: what they do now, how far they are, and how the loss goes. */
import { useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import { RpcError } from '../api/rpc-error.js';
import { tellSeen } from '../api/seen-runs.js';
import { useCall, useReloadOn } from '../api/use-call.js';
import { link } from '../app/route.js';
import { hasEnded, stateWord } from '../format/words.js';
import { Code, Empty, ErrorNote, Waiting } from '../widgets/notes.js';
import { FilterForm } from './filter-form.js';
import { RunsTable } from './runs-table.js';
import { useTails } from './use-tails.js';

const EVERY_MS = 2000;
const none: readonly Json<Run>[] = [];
const PAGE_SIZE = 100;

export function RunsPage({ project, filter }: { readonly project: string; readonly filter: string }) {
  const [pages, setPages] = useState(1);
  const { data, error, reload } = useCall((signal) => listRuns(project, filter, pages, signal), [project, filter], EVERY_MS);
  useReloadOn(pages, reload);
  const runs = data?.runs ?? none;
  const tails = useTails(project, runs);
  const active = runs.filter(({ state }) => !hasEnded(stateWord(state))).length;
  return (
    <>
      <div class="page-head">
        <h1>Runs</h1>
        {data && (
          <p class="muted" role="status">
            {runs.length}
            {data.more ? '+' : ''} {runs.length === 1 ? 'run' : 'runs'}, {active} not ended
          </p>
        )}
        <FilterForm
          project={project}
          filter={filter}
          problem={error instanceof RpcError && error.code === 'invalid_argument' ? error.message : ''}
        />
      </div>
      {error && <ErrorNote error={error} stale={data !== undefined} />}
      {!data && !error && <Waiting what="Reading the runs" />}
      {data?.unreadable.map(({ name, reason }) => (
        <div class="note note-error" key={name}>
          <strong>{name} cannot be read.</strong>
          <p>{reason}</p>
        </div>
      ))}
      {data && runs.length === 0 && <NoRuns project={project} filter={filter} />}
      {runs.length > 0 && <RunsTable runs={runs} tails={tails} project={project} />}
      {data?.more && (
        <button type="button" onClick={() => setPages(pages + 1)}>
          Show more
        </button>
      )}
    </>
  );
}

async function listRuns(project: string, filter: string, pages: number, signal: AbortSignal) {
  const runs: Json<Run>[] = [];
  const unreadable: { name?: string | undefined; reason?: string | undefined }[] = [];
  let pageToken = '';
  for (let page = 0; page < pages; page++) {
    const request = { parent: project, pageSize: PAGE_SIZE, orderBy: 'create_time desc', filter, pageToken };
    const answer = await call('TrainerService/ListRuns', request, { signal });
    runs.push(...(answer.runs ?? []));
    unreadable.push(...(answer.unreadable ?? []));
    pageToken = answer.nextPageToken ?? '';
    if (pageToken === '') break;
  }
  tellSeen(runs);
  return { runs, unreadable, more: pageToken !== '' };
}

function NoRuns({ project, filter }: { readonly project: string; readonly filter: string }) {
  if (filter !== '') {
    return (
      <Empty title="No run fits the filter.">
        <p>
          <a href={link(`${project}/runs`)}>Show all runs</a>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="There are no runs yet.">
      <p>
        <a href={link(`${project}/new-run`)}>Start the first one here</a>, or in a terminal:
      </p>
      <Code
        label="Command that starts a run"
        text="dropstream train --model vit_tiny --data_path ~/images --dropout 0.1 --drop_mode early --cutoff_epoch 50"
      />
    </Empty>
  );
}
