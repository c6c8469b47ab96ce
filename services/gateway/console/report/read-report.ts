/** The data that lies in the page. */
import type { ReportData, ReportRun } from '#client/report-data.js';
import type { Checkpoint, EvaluationRecord, GetRunSeriesResponse, Run } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import type { Event } from '../api/watch-run.js';
import type { Compared } from '../compare/compared-lines.js';
import { RunHistory } from '../history/run-history.js';
import { seriesPoints } from '../history/series-columns.js';

export interface ReportedRun extends Compared {
  readonly run: Json<Run>;
  readonly history: RunHistory;
  readonly checkpoints: readonly Json<Checkpoint>[];
}

export interface Report extends Omit<ReportData, 'runs'> {
  readonly runs: readonly ReportedRun[];
}

/** @throws SyntaxError if the element of this id has no JSON in it */
export function readReport(id: string): Report {
  const data = JSON.parse(document.getElementById(id)?.textContent ?? '') as ReportData;
  return { ...data, runs: data.runs.map(reportedRun) };
}

/** The messages are what the services said, so their types are taken as given. */
function reportedRun(given: ReportRun): ReportedRun {
  const run = given.run as Json<Run>;
  const history = new RunHistory(num(run.stepsPerEpoch));
  for (const event of given.events as readonly Event[]) history.take(event);
  for (const evaluation of given.evaluations as readonly Json<EvaluationRecord>[]) history.addEvaluation(evaluation);
  const series = given.series as Json<GetRunSeriesResponse>;
  return {
    name: run.name ?? '',
    run,
    history,
    column: (column) => seriesPoints(series, column, history.steps),
    checkpoints: given.checkpoints as readonly Json<Checkpoint>[],
    error: undefined,
  };
}
