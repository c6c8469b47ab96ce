/** Any runs side by side, live; the address says which. */
import { useMemo } from 'preact/hooks';
import { call } from '../api/call.js';
import { useCall } from '../api/use-call.js';
import { link } from '../app/route.js';
import { idOf } from '../format/words.js';
import { Empty } from '../widgets/notes.js';
import { CompareView } from './compare-view.js';
import { useHistories } from './use-histories.js';

/** More lines than this cannot be told apart. */
const MOST = 12;

export function ComparePage({ project, ids }: { readonly project: string; readonly ids: readonly string[] }) {
  const names = useMemo(() => ids.slice(0, MOST).map((id) => `${project}/runs/${id}`), [project, ids.join()]);
  return (
    <>
      <div class="page-head">
        <h1>Compare</h1>
        <Chooser project={project} ids={ids} />
      </div>
      {ids.length > MOST && (
        <p class="note">
          Only the first {MOST} of {ids.length} runs are shown.
        </p>
      )}
      {names.length === 0 ? (
        <Empty title="Choose runs to compare.">
          <p>
            Tick them in the <a href={link(`${project}/runs`)}>table of runs</a>, or add them above.
          </p>
        </Empty>
      ) : (
        <Comparison names={names} />
      )}
    </>
  );
}

function Comparison({ names }: { readonly names: readonly string[] }) {
  const { compared, version } = useHistories(names);
  return <CompareView compared={compared} version={version} />;
}

/** Adds and removes runs; the address has them. */
function Chooser({ project, ids }: { readonly project: string; readonly ids: readonly string[] }) {
  const { data } = useCall(
    async (signal) =>
      (await call('TrainerService/ListRuns', { parent: project, pageSize: 200, orderBy: 'create_time desc' }, { signal })).runs ?? [],
    [project],
  );
  const go = (wanted: readonly string[]) => {
    location.hash = link(`${project}/compare`, { runs: wanted.join() });
  };
  const others = (data ?? []).map(({ name }) => idOf(name)).filter((id) => !ids.includes(id));
  return (
    <div class="chooser">
      {ids.map((id) => (
        <button
          type="button"
          class="label removable"
          key={id}
          aria-label={`Remove ${id}`}
          onClick={() => go(ids.filter((other) => other !== id))}
        >
          {id} ✕
        </button>
      ))}
      <label>
        Add a run
        <select value="" onChange={({ currentTarget }) => currentTarget.value !== '' && go([...ids, currentTarget.value])}>
          <option value="">…</option>
          {others.map((id) => (
            <option key={id}>{id}</option>
          ))}
        </select>
      </label>
    </div>
  );
}
