/** The curves of a run as they grow. */
import { useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import type { Json } from '../api/json.js';
import type { Window } from '../chart/window.js';
import type { RunHistory } from '../history/run-history.js';
import { RunCharts } from './run-charts.js';
import { useColumns } from './use-columns.js';

interface Props {
  readonly run: Json<Run>;
  readonly history: RunHistory;
  readonly version: number;
  readonly complete: boolean;
}

export function LiveCharts({ run, history, version, complete }: Props) {
  const [window, setWindow] = useState<Window | undefined>();
  const column = useColumns(run, history, window);
  return (
    <RunCharts run={run} history={history} version={version} complete={complete} column={column} window={window} onWindow={setWindow} />
  );
}
