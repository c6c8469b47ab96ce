/** Stored drop schedules: the list, and the one that is edited. */
import type { Schedule } from '#protocol/dropstream/v1/scheduler.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { link } from '../app/route.js';
import { idOf } from '../format/words.js';
import { ErrorNote, Waiting } from '../widgets/notes.js';
import { draftLine, draftOf, draftText } from './draft.js';
import { ScheduleEditor } from './schedule-editor.js';

const EVERY_MS = 10_000;
const MOST = 1000;

export function SchedulesPage({ project, id }: { readonly project: string; readonly id: string }) {
  const { data, error, reload } = useCall(
    async (signal) => (await call('SchedulerService/ListSchedules', { parent: project, pageSize: MOST }, { signal })).schedules ?? [],
    [project],
    EVERY_MS,
  );
  const chosen = data?.find(({ name }) => idOf(name) === id);
  return (
    <>
      <div class="page-head">
        <h1>Schedules</h1>
        <p class="muted">A stored schedule has a name and revisions. Runs pin a revision, or follow the newest one.</p>
      </div>
      {error && <ErrorNote error={error} stale={data !== undefined} />}
      {data === undefined && !error && <Waiting what="Reading the schedules" />}
      {data !== undefined && (
        <div class="with-list">
          <nav class="list card" aria-label="Schedules">
            <a href={link(`${project}/schedules`)} aria-current={id === '' ? 'true' : undefined}>
              <strong>New schedule</strong>
            </a>
            {data.map((schedule) => (
              <Item key={schedule.uid} schedule={schedule} current={schedule === chosen} />
            ))}
            {data.length === 0 && <p class="muted">There are no stored schedules yet.</p>}
          </nav>
          {id !== '' && chosen === undefined ? (
            <div class="note note-error" role="alert">
              <strong>There is no schedule {id}.</strong>
            </div>
          ) : (
            <ScheduleEditor key={chosen?.uid ?? 'new'} project={project} schedule={chosen} onChange={reload} />
          )}
        </div>
      )}
    </>
  );
}

function Item({ schedule, current }: { readonly schedule: Json<Schedule>; readonly current: boolean }) {
  const draft = draftOf(schedule.spec);
  return (
    <a href={link(schedule.name ?? '')} aria-current={current ? 'true' : undefined}>
      <strong>{idOf(schedule.name)}</strong>
      <MiniCurve draft={draft} />
      <small>
        {draftText(draft)}, revision {schedule.revision}
      </small>
    </a>
  );
}

function MiniCurve({ draft }: { readonly draft: ReturnType<typeof draftOf> }) {
  const epochs = Math.max(300, draft.cutoffEpoch);
  const [line] = draftLine(draft, epochs, '', 0);
  if (line === undefined) return null;
  const top = Math.max(draft.rate, 1e-9);
  const path = Array.from(line.x, (x, k) => `${((x / epochs) * 70 + 1).toFixed(1)} ${(17 - (line.y[k]! / top) * 15).toFixed(1)}`).join('L');
  return (
    <svg class="spark line-2" viewBox="0 0 72 18" width={72} height={18} aria-hidden="true">
      <path d={`M${path}`} />
    </svg>
  );
}
