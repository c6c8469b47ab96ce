/** Edits one schedule: its curve, its revisions, and what a change would do to the runs that follow it. */
import { useState } from 'preact/hooks';
import type { Schedule } from '#protocol/dropstream/v1/scheduler.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import { link } from '../app/route.js';
import { idOf } from '../format/words.js';
import { confirm } from '../widgets/confirm.js';
import { requestId } from '../widgets/request-id.js';
import { tell } from '../widgets/toasts.js';
import { CurveEditor } from './curve-editor.js';
import { type Draft, draftOf, draftText, firstDraft, problemOf, specOfDraft } from './draft.js';
import { DraftFields } from './draft-fields.js';
import { Followers } from './followers.js';
import { Revisions } from './revisions.js';

interface Props {
  readonly project: string;
  /** undefined: a new one. */
  readonly schedule: Json<Schedule> | undefined;
  readonly onChange: () => void;
}

export function ScheduleEditor({ project, schedule, onChange }: Props) {
  const stored = schedule === undefined ? undefined : draftOf(schedule.spec);
  const [draft, setDraft] = useState<Draft>(stored ?? firstDraft);
  const [epochs, setEpochs] = useState(Math.max(300, draft.cutoffEpoch));
  const [name, setName] = useState('');
  const [busy, setBusy] = useState(false);
  const problem = problemOf(draft, epochs);
  const changed = stored === undefined || JSON.stringify(stored) !== JSON.stringify(draft);
  const act = async (what: string, work: () => Promise<string>) => {
    setBusy(true);
    try {
      tell(await work());
      onChange();
    } catch (error) {
      tell(`${what} did not work: ${(error as Error).message}`, { trouble: true });
    } finally {
      setBusy(false);
    }
  };
  const save = () =>
    act('Saving', async () => {
      const spec = specOfDraft(draft);
      if (schedule === undefined) {
        await call('SchedulerService/CreateSchedule', { parent: project, scheduleId: name, spec, requestId: requestId() });
        location.hash = link(`${project}/schedules/${name}`);
        return `The schedule ${name} is stored.`;
      }
      const answer = await call('SchedulerService/UpdateSchedule', {
        name: schedule.name,
        spec,
        etag: schedule.etag,
        requestId: requestId(),
      });
      return `Revision ${answer.schedule?.revision} of ${idOf(schedule.name)} is stored.`;
    });
  const remove = async () => {
    const id = idOf(schedule?.name);
    if (!(await confirm({ title: `Delete ${id}?`, text: 'Runs that use one of its revisions keep it.', action: 'Delete the schedule' })))
      return;
    await act('Deleting', async () => {
      await call('SchedulerService/DeleteSchedule', { name: schedule?.name, etag: schedule?.etag });
      location.hash = link(`${project}/schedules`);
      return `The schedule ${id} is deleted.`;
    });
  };
  return (
    <div class="editor">
      <section class="card" aria-labelledby="editor-title">
        <div class="card-head">
          <h2 id="editor-title">{schedule === undefined ? 'New schedule' : idOf(schedule.name)}</h2>
          <span class="muted">{draftText(draft)}</span>
        </div>
        <CurveEditor draft={draft} epochs={epochs} onDraft={setDraft} />
        <DraftFields draft={draft} epochs={epochs} onDraft={setDraft} onEpochs={setEpochs} />
        {problem !== '' && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <form
          class="buttons"
          onSubmit={(event) => {
            event.preventDefault();
            void save();
          }}
        >
          {schedule === undefined && (
            <label class="inline">
              Name
              <input
                value={name}
                required
                pattern="[a-z][a-z0-9\-]{0,62}"
                placeholder="warm"
                spellcheck={false}
                onInput={({ currentTarget }) => setName(currentTarget.value)}
              />
            </label>
          )}
          <button type="submit" class="primary" disabled={busy || problem !== '' || !changed || (schedule === undefined && name === '')}>
            {schedule === undefined ? 'Store the schedule' : 'Store a new revision'}
          </button>
          {schedule !== undefined && (
            <>
              <button type="button" disabled={!changed} onClick={() => setDraft(draftOf(schedule.spec))}>
                Undo changes
              </button>
              <a class="button" href={link(`${project}/new-run`, { schedule: schedule.name ?? '' })}>
                Start a run with it
              </a>
              <button type="button" class="danger" disabled={busy} onClick={() => void remove()}>
                Delete
              </button>
            </>
          )}
        </form>
      </section>
      {schedule !== undefined && <Followers project={project} schedule={schedule} draft={draft} />}
      {schedule !== undefined && <Revisions schedule={schedule} epochs={epochs} onUse={setDraft} />}
    </div>
  );
}
