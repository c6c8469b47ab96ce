/** What can be done with a run in its state. Whatever cannot be taken back asks first. */
import { useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import type { Json } from '../api/json.js';
import { link } from '../app/route.js';
import { hasEnded, idOf, projectOf, stateWord } from '../format/words.js';
import { confirm } from '../widgets/confirm.js';
import { tell } from '../widgets/toasts.js';

/** Resuming waits until the worker has stopped. */
const RESUME_TIMEOUT_MS = 60_000;

export function RunActions({ run, onChange }: { readonly run: Json<Run>; readonly onChange: () => void }) {
  const [busy, setBusy] = useState(false);
  const { name = '', uid = '' } = run;
  const id = idOf(name);
  const state = stateWord(run.state);
  const act = async (what: string, work: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    try {
      await work();
      return true;
    } catch (error) {
      tell(`${what} did not work: ${(error as Error).message}`, { trouble: true });
      return false;
    } finally {
      setBusy(false);
      onChange();
    }
  };
  const resume = async () => {
    if (await act('Resuming', () => call('TrainerService/ResumeRun', { name }, { timeoutMs: RESUME_TIMEOUT_MS })))
      tell(`${id} is in the queue again.`);
  };
  const pause = async () => {
    if (await act('Pausing', () => call('TrainerService/PauseRun', { name }))) {
      tell(`${id} saves a checkpoint and pauses.`, { undo: { label: 'Resume', run: () => void resume() } });
    }
  };
  const cancel = async () => {
    const text = 'A cancelled run cannot be resumed. Its log and checkpoints stay.';
    if (!(await confirm({ title: `Cancel ${id}?`, text, action: 'Cancel the run' }))) return;
    if (await act('Cancelling', () => call('TrainerService/CancelRun', { name }))) tell(`${id} is cancelled.`);
  };
  const remove = async () => {
    const text = 'Its log and all of its checkpoints are deleted. This cannot be undone.';
    if (!(await confirm({ title: `Delete ${id}?`, text, action: 'Delete the run' }))) return;
    // The etag is that of the run which was shown, so that a new run of the same name is not deleted instead.
    if (await act('Deleting', () => call('TrainerService/DeleteRun', { name, etag: run.etag }))) {
      tell(`${id} (${uid}) is deleted.`);
      location.hash = link(`${projectOf(name)}/runs`);
    }
  };
  const pausing = run.pauseRequested === true;
  return (
    <div class="buttons actions">
      {(state === 'running' || state === 'queued') && !pausing && (
        <button type="button" disabled={busy} onClick={() => void pause()}>
          Pause
        </button>
      )}
      {(state === 'paused' || pausing) && (
        <button type="button" class="primary" disabled={busy} onClick={() => void resume()}>
          Resume
        </button>
      )}
      {!hasEnded(state) && (
        <button type="button" class="danger" disabled={busy} onClick={() => void cancel()}>
          Cancel
        </button>
      )}
      <a class="button" href={link(`${projectOf(name)}/new-run`, { like: id })}>
        Run like this
      </a>
      {hasEnded(state) && (
        <button type="button" class="danger" disabled={busy} onClick={() => void remove()}>
          Delete
        </button>
      )}
    </div>
  );
}
