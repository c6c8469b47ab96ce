/** Reads everything that a report shows of a run. */
import type { ReportRun } from '#client/report-data.js';
import { runEvents, type TrainerClient } from '#client/run-events.js';
import type { Scores } from '#protocol/dropstream/v1/evaluator.js';
import { Checkpoint, GetRunSeriesResponse, Run, RunEvent } from '#protocol/dropstream/v1/trainer.js';
import { allPages } from '../commands/shared-options.js';

/** Enough to zoom in; a run of fewer steps is shown step by step. */
const POINTS = 5000;
/** A run keeps few checkpoints. */
const MOST_CHECKPOINTS = 1000;
/** Digits of the values of curves: more cannot be seen, and take space. */
const DIGITS = 7;

interface Place {
  readonly client: TrainerClient;
  readonly call: { readonly timeoutMs: number; readonly signal: AbortSignal };
  /** Called now and then with the number of records read and their number in all. */
  readonly onProgress?: (done: bigint, all: bigint) => void;
}

/** The run as it is now: what happens while it is read is left out. @throws NotFound */
export async function readReportRun(name: string, { client, call, onProgress }: Place): Promise<ReportRun> {
  const { run } = await client.getRun({ name }, call);
  const { uid, logSequence } = run!;
  const checkpoints = await allPages(MOST_CHECKPOINTS, async (pageToken, pageSize) => {
    const page = await client.listCheckpoints({ parent: name, pageToken, pageSize }, call);
    return { items: page.checkpoints, nextPageToken: page.nextPageToken };
  });
  const series = await client.getRunSeries({ name, metrics: [], fromStep: 0n, toStep: 0n, points: POINTS }, call);
  for (const one of series.series) one.values = one.values.map((value) => Number(value.toPrecision(DIGITS)));
  return {
    run: Run.toJSON(run!),
    events: (await readEvents(name, uid, logSequence, { client, call, ...(onProgress && { onProgress }) })).map((event) =>
      RunEvent.toJSON(event),
    ),
    evaluations: [],
    series: GetRunSeriesResponse.toJSON(series),
    // A report is passed on to others, and the address of a file lets anybody fetch it.
    checkpoints: checkpoints.map(({ files, ...checkpoint }) =>
      Checkpoint.toJSON({ ...checkpoint, files: files.map((file) => ({ ...file, url: '' })) }),
    ),
  };
}

/** Of steps, which the curves have, only the newest are kept, whose loss and speed the page shows; and of counts by class, those of the newest evaluation. */
async function readEvents(name: string, uid: string, until: bigint, { client, call, onProgress }: Place): Promise<RunEvent[]> {
  const events: RunEvent[] = [];
  let newest: RunEvent | undefined;
  /** Place of the newest evaluation that has counts by class. */
  let counted = -1;
  if (until === 0n) return events;
  for await (const event of runEvents(client, name, { uid, signal: call.signal })) {
    if (event.event?.$case === 'steps') newest = event;
    else {
      if (event.event?.$case === 'resumed') newest = undefined;
      if (hasClassCounts(event)) {
        if (counted >= 0) events[counted] = withoutClassCounts(events[counted]!);
        counted = events.length;
      }
      events.push(event);
    }
    if (event.sequence % 256n === 0n) onProgress?.(event.sequence, until);
    if (event.sequence >= until) break;
  }
  if (newest === undefined) return events;
  const at = events.findIndex(({ sequence }) => sequence > newest.sequence);
  return at === -1 ? [...events, newest] : events.toSpliced(at, 0, newest);
}

const hasClassCounts = ({ event }: RunEvent): boolean =>
  event?.$case === 'evaluation' && (event.value.result?.weights?.classSamples.length ?? 0) > 0;

/** Of thousands of classes and hundreds of evaluations they would be most of the file. */
function withoutClassCounts(given: RunEvent): RunEvent {
  if (given.event?.$case !== 'evaluation' || given.event.value.result === undefined) return given;
  const { value } = given.event;
  const bare = (scores: Scores | undefined) => scores && { ...scores, classCorrect: [], classSamples: [] };
  const result = { ...given.event.value.result, weights: bare(value.result?.weights), ema: bare(value.result?.ema) };
  return { ...given, event: { $case: 'evaluation', value: { ...value, result } } };
}
