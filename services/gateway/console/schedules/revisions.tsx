/** The newest revisions of a schedule, one curve over the other. */
import { useState } from 'preact/hooks';
import type { Schedule } from '#protocol/dropstream/v1/scheduler.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { Chart } from '../chart/chart.js';
import type { Window } from '../chart/window.js';
import { significant } from '../format/numbers.js';
import { clock } from '../format/time.js';
import { type Draft, draftLine, draftOf, draftText } from './draft.js';

const SHOWN = 6;

interface Props {
  readonly schedule: Json<Schedule>;
  readonly epochs: number;
  readonly onUse: (draft: Draft) => void;
}

export function Revisions({ schedule: { name, revision: newest = '1' }, epochs, onUse }: Props) {
  const [window, setWindow] = useState<Window | undefined>();
  const { data } = useCall((signal) => readRevisions(name ?? '', Number(newest), signal), [name, newest]);
  if (data === undefined) return null;
  const lines = data.flatMap(({ spec, revision }, k) => draftLine(draftOf(spec), epochs, `revision ${revision}`, k));
  return (
    <section class="card" aria-labelledby="revisions-title">
      <h2 id="revisions-title">Revisions</h2>
      {data.length > 1 && (
        <Chart
          title="Drop rate"
          lines={lines}
          version={data}
          full={{ from: 0, to: epochs }}
          window={window}
          onWindow={setWindow}
          format={(y) => significant(y, 3)}
          formatX={(x) => significant(x, 4)}
          xName="epoch"
          sync="revisions"
        />
      )}
      <ol class="log">
        {data.map((revision) => (
          <li key={revision.revision}>
            <time>{revision.createTime ? clock(new Date(revision.createTime)) : ''}</time>
            <span>
              Revision {revision.revision}: {draftText(draftOf(revision.spec))}
              {revision.creator ? `, by ${revision.creator}` : ''}
            </span>
            {revision.revision !== newest && (
              <button type="button" class="quiet" onClick={() => onUse(draftOf(revision.spec))}>
                Edit from it
              </button>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}

async function readRevisions(name: string, newest: number, signal: AbortSignal): Promise<Json<Schedule>[]> {
  const numbers = Array.from({ length: Math.min(SHOWN, newest) }, (_, k) => newest - k);
  const answers = await Promise.all(
    numbers.map((revision) => call('SchedulerService/GetSchedule', { name, revision: String(revision) }, { signal })),
  );
  return answers.flatMap(({ schedule }) => (schedule === undefined ? [] : [schedule]));
}
