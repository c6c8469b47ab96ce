/** A run as it was when the report was made. */
import { useState } from 'preact/hooks';
import type { Window } from '../chart/window.js';
import { CheckpointTable } from '../run/checkpoint-table.js';
import { ClassAccuracy } from '../run/class-accuracy.js';
import { Members } from '../run/members.js';
import { RunCharts } from '../run/run-charts.js';
import { RunHead } from '../run/run-head.js';
import { RunLog } from '../run/run-log.js';
import { RunOptions } from '../run/run-options.js';
import type { ReportedRun } from './read-report.js';

/** `alone`: the report has no other run, so nothing leads to others. */
export function ReportRunView({ reported, alone }: { readonly reported: ReportedRun; readonly alone: boolean }) {
  const { run, history, column, checkpoints } = reported;
  const [window, setWindow] = useState<Window | undefined>();
  return (
    <>
      <RunHead
        run={run}
        history={history}
        level={alone ? 2 : 1}
        crumbs={
          !alone && (
            <>
              <a href="#/">Compared</a> /
            </>
          )
        }
      />
      <RunCharts run={run} history={history} version={0} complete column={column} window={window} onWindow={setWindow} />
      <div class="columns">
        <div>
          {history.group && <Members group={history.group} />}
          <section class="card" aria-labelledby="checkpoints-title">
            <h2 id="checkpoints-title">Checkpoints</h2>
            <CheckpointTable checkpoints={checkpoints} />
          </section>
          <ClassAccuracy history={history} />
          <RunOptions run={run} />
        </div>
        <div>
          <RunLog lines={history.lines} />
        </div>
      </div>
    </>
  );
}
