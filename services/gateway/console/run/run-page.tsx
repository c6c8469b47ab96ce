/** One run: what it does, its curves, its log, and what can be done with it. */
import { RpcError } from '../api/rpc-error.js';
import { link } from '../app/route.js';
import { idOf, projectOf } from '../format/words.js';
import { Empty, ErrorNote, Waiting } from '../widgets/notes.js';
import { Checkpoints } from './checkpoints.js';
import { ClassAccuracy } from './class-accuracy.js';
import { LiveCharts } from './live-charts.js';
import { Members } from './members.js';
import { RunActions } from './run-actions.js';
import { RunHead } from './run-head.js';
import { RunLog } from './run-log.js';
import { RunOptions } from './run-options.js';
import { useRun } from './use-run.js';

export function RunPage({ name }: { readonly name: string }) {
  const { run, history, version, error, complete, reload, readOlder } = useRun(name);
  if (error instanceof RpcError && error.code === 'not_found' && run === undefined) {
    return (
      <Empty page title={`There is no run ${idOf(name)}.`}>
        <p>
          It may have been deleted. <a href={link(`${projectOf(name)}/runs`)}>Go to the runs</a>
        </p>
      </Empty>
    );
  }
  if (run === undefined) return error ? <ErrorNote error={error} /> : <Waiting what={`Reading ${idOf(name)}`} />;
  return (
    <>
      <RunHead
        run={run}
        history={history}
        crumbs={
          <>
            <a href={link(`${projectOf(name)}/runs`)}>Runs</a> /
          </>
        }
      >
        <RunActions run={run} onChange={reload} />
      </RunHead>
      {error && <ErrorNote error={error} stale />}
      {history && <LiveCharts run={run} history={history} version={version} complete={complete} />}
      <div class="columns">
        <div>
          {history?.group && <Members group={history.group} />}
          <Checkpoints run={run} version={history?.marks.length ?? 0} />
          {history && <ClassAccuracy history={history} />}
          <RunOptions run={run} />
        </div>
        <div>{history && <RunLog lines={history.lines} readOlder={readOlder} />}</div>
      </div>
    </>
  );
}
