/** The checkpoints of a run: how good they are, how to get their files, and what to do with them. */
import { useEffect, useState } from 'preact/hooks';
import type { Checkpoint, Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { link } from '../app/route.js';
import { bytes, count } from '../format/numbers.js';
import { idOf, projectOf } from '../format/words.js';
import { Code, ErrorNote } from '../widgets/notes.js';
import { requestId } from '../widgets/request-id.js';
import { tell } from '../widgets/toasts.js';

export function Checkpoints({ run, version }: { readonly run: Json<Run>; readonly version: number }) {
  const { name = '' } = run;
  const { data, error, reload } = useCall(
    async (signal) => (await call('TrainerService/ListCheckpoints', { parent: name }, { signal })).checkpoints ?? [],
    [name],
  );
  // What is shown stays until the new list is there.
  useEffect(reload, [version]);
  const [open, setOpen] = useState('');
  return (
    <section class="card" aria-labelledby="checkpoints-title">
      <h2 id="checkpoints-title">Checkpoints</h2>
      {error && <ErrorNote error={error} stale={data !== undefined} />}
      {data?.length === 0 && <p class="muted">There is no checkpoint yet.</p>}
      {data !== undefined && data.length > 0 && (
        <div class="table-frame flat">
          <table>
            <thead>
              <tr>
                <th scope="col">Checkpoint</th>
                <th scope="col" class="n">
                  Step
                </th>
                <th scope="col" class="n">
                  Top-1
                </th>
                <th scope="col" class="n">
                  Size
                </th>
                <th scope="col">
                  <span class="hidden">Actions</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.map((checkpoint) => (
                <Row key={checkpoint.name} checkpoint={checkpoint} open={open === checkpoint.name} onOpen={setOpen} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({
  checkpoint,
  open,
  onOpen,
}: {
  readonly checkpoint: Json<Checkpoint>;
  readonly open: boolean;
  readonly onOpen: (name: string) => void;
}) {
  const { name = '', files = [] } = checkpoint;
  const size = files.reduce((sum, { sizeBytes }) => sum + num(sizeBytes), 0);
  return (
    <>
      <tr>
        <th scope="row" class="mono">
          {idOf(name)} {checkpoint.best && <span class="label good">best</span>}
        </th>
        <td class="n">{count(num(checkpoint.step))}</td>
        <td class="n">{checkpoint.top1 === undefined ? '–' : `${checkpoint.top1.toFixed(2)} %`}</td>
        <td class="n">{bytes(size)}</td>
        <td class="end">
          <button type="button" class="quiet" aria-expanded={open} onClick={() => onOpen(open ? '' : name)}>
            {open ? 'Close' : 'Use'}
          </button>
        </td>
      </tr>
      {open && (
        <tr>
          <td colSpan={5}>
            <Uses name={name} />
          </td>
        </tr>
      )}
    </>
  );
}

function Uses({ name }: { readonly name: string }) {
  const [, , , run = ''] = name.split('/');
  const short = `${run}/${idOf(name)}`;
  const project = projectOf(name);
  const { data, error } = useCall(async (signal) => (await call('TrainerService/GetCheckpoint', { name }, { signal })).checkpoint, [name]);
  const evaluate = async () => {
    try {
      const { evaluation } = await call('EvaluatorService/CreateEvaluation', {
        parent: project,
        spec: { checkpoint: name },
        requestId: requestId(),
      });
      tell(`The evaluation ${idOf(evaluation?.name)} is in the queue.`);
    } catch (error) {
      tell(`The evaluation was not created: ${(error as Error).message}`, { trouble: true });
    }
  };
  // Links of a store that is a directory lead nowhere from a browser.
  const files = (data?.files ?? []).filter(({ url = '' }) => /^https?:/.test(url));
  return (
    <div class="uses">
      {error && <ErrorNote error={error} />}
      <div class="buttons">
        <button type="button" onClick={() => void evaluate()}>
          Evaluate
        </button>
        <a class="button" href={link(`${project}/new-run`, { finetune: name })}>
          Start a run from it
        </a>
        {files.map(({ role, url, sizeBytes }) => (
          <a class="button" key={url} href={url} download rel="noreferrer">
            Download {role} ({bytes(num(sizeBytes))})
          </a>
        ))}
      </div>
      <Code label="Command that exports the checkpoint" text={`dropstream checkpoints export ${short} --out ${idOf(name)}.safetensors`} />
      {data?.fingerprint && <p class="muted">Numerics: {data.fingerprint}</p>}
    </div>
  );
}
