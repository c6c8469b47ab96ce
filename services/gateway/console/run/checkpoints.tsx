/** The checkpoints of a run: how good they are, how to get their files, and what to do with them. */
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { useCall, useReloadOn } from '../api/use-call.js';
import { link } from '../app/route.js';
import { bytes } from '../format/numbers.js';
import { idOf, projectOf } from '../format/words.js';
import { Code, ErrorNote } from '../widgets/notes.js';
import { requestId } from '../widgets/request-id.js';
import { tell } from '../widgets/toasts.js';
import { CheckpointTable } from './checkpoint-table.js';

export function Checkpoints({ run, version }: { readonly run: Json<Run>; readonly version: number }) {
  const { name = '' } = run;
  const { data, error, reload } = useCall(
    async (signal) => (await call('TrainerService/ListCheckpoints', { parent: name }, { signal })).checkpoints ?? [],
    [name],
  );
  useReloadOn(version, reload);
  return (
    <section class="card" aria-labelledby="checkpoints-title">
      <h2 id="checkpoints-title">Checkpoints</h2>
      {error && <ErrorNote error={error} stale={data !== undefined} />}
      {data !== undefined && <CheckpointTable checkpoints={data} usesOf={(checkpoint) => <Uses name={checkpoint} />} />}
    </section>
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
