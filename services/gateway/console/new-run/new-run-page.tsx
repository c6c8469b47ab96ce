/** The form for a new run. It is checked by the trainer while one types. */
import { useMemo, useState } from 'preact/hooks';
import { specOptions } from '#spec/shown-options.js';
import { call } from '../api/call.js';
import { useCall } from '../api/use-call.js';
import { link } from '../app/route.js';
import { readManifests } from '../data/known-manifests.js';
import { idOf } from '../format/words.js';
import { ErrorNote, Waiting } from '../widgets/notes.js';
import { requestId } from '../widgets/request-id.js';
import { tell } from '../widgets/toasts.js';
import { firstValues } from './first-values.js';
import { Labels } from './labels.js';
import { OptionField } from './option-field.js';
import { RunPreview } from './run-preview.js';
import { specOf, type Values } from './spec-of.js';
import { modelsIn, problemsOf, useChecked } from './use-checked.js';

export function NewRunPage({ project, from }: { readonly project: string; readonly from: URLSearchParams }) {
  const { data, error } = useCall((signal) => firstValues(project, from, signal), [project, from.toString()]);
  if (error) return <ErrorNote error={error} />;
  if (data === undefined) return <Waiting what="Reading the options" />;
  return <NewRunForm project={project} first={data} />;
}

const groups = [...new Set(specOptions.map(({ group }) => group))].map(
  (group) => [group, specOptions.filter((option) => option.group === group)] as const,
);

/** Groups that are open at first: what nearly every run says. */
const open = new Set(['Run', 'Model', 'Drop', 'Data']);

function NewRunForm({ project, first }: { readonly project: string; readonly first: Values }) {
  const [values, setValues] = useState<Values>(first);
  const [runId, setRunId] = useState('');
  const [labels, setLabels] = useState<Readonly<Record<string, string>>>({});
  const [busy, setBusy] = useState(false);
  // One key for this form: a second click, or one after a lost answer, creates no second run.
  const [key] = useState(requestId);
  const { spec, problems } = useMemo(() => specOf(values), [values]);
  const request = { parent: project, runId, labels, spec };
  const checked = useChecked(request);
  const manifests = useCall((signal) => readManifests(project, signal), [project]);
  const models = useCall((signal) => readModels(project, signal), [project]);
  const set = (name: string, value: string) => setValues((before) => ({ ...before, [name]: value }));

  const problemOf = (name: string) => problems.get(name) ?? checked.problems.get(name);
  const others = [...checked.problems].filter(([name]) => !specOptions.some((option) => option.name === name));
  const ready = checked.run !== undefined && checked.current && problems.size === 0;
  const create = async () => {
    setBusy(true);
    try {
      const { run } = await call('TrainerService/CreateRun', { ...request, requestId: key });
      location.hash = link(run?.name ?? project);
    } catch (failure) {
      tell(`The run was not created: ${(failure as Error).message}`, { trouble: true });
      setBusy(false);
    }
  };
  return (
    <>
      <div class="page-head">
        <h1>New run</h1>
        <p class="muted">Empty fields have their defaults. The trainer checks the form while you type.</p>
      </div>
      <form
        class="new-run"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) void create();
        }}
      >
        <div class="groups">
          <datalist id="models">
            {models.data?.map((model) => (
              <option key={model} value={model} />
            ))}
          </datalist>
          <datalist id="manifests">
            {manifests.data?.map(({ sha256, training, evaluation }) => (
              <option key={sha256} value={sha256}>
                {training.length > 0 ? `training of ${training[0]}` : `evaluation of ${evaluation[0]}`}
              </option>
            ))}
          </datalist>
          {groups.map(([group, options]) => {
            const wrong = options.some(({ name }) => problemOf(name) !== undefined);
            return (
              <details key={group} class="card group" open={open.has(group) || wrong || options.some(({ name }) => values[name])}>
                <summary>
                  {group}
                  <span class="muted">{summary(options.map(({ name }) => [name, values[name] ?? '']))}</span>
                </summary>
                <div class="fields">
                  {options.map((option) => (
                    <OptionField
                      key={option.name}
                      option={option}
                      value={values[option.name] ?? ''}
                      problem={problemOf(option.name)}
                      list={lists[option.name]}
                      onValue={set}
                    />
                  ))}
                </div>
              </details>
            );
          })}
        </div>
        <div class="side">
          <section class="card" aria-labelledby="identity-title">
            <h2 id="identity-title">Name</h2>
            <div class="field">
              <label for="run-id">Id of the run</label>
              <input
                id="run-id"
                value={runId}
                placeholder="chosen by the trainer"
                spellcheck={false}
                aria-invalid={checked.problems.has('run_id')}
                onInput={({ currentTarget }) => setRunId(currentTarget.value)}
              />
            </div>
            <Labels labels={labels} onLabels={setLabels} />
            {others.map(([field, problem]) => (
              <p key={field} class="problem">
                {field} {problem}
              </p>
            ))}
            {checked.error && <ErrorNote error={checked.error} />}
            <div class="buttons">
              <button type="submit" class="primary" disabled={!ready || busy}>
                Start the run
              </button>
              <span class="muted" role="status">
                {statusText(checked.current, ready, checked.problems.size + problems.size)}
              </span>
            </div>
          </section>
          <RunPreview run={checked.run} values={values} names={{ runId, labels, project: idOf(project) }} />
        </div>
      </form>
    </>
  );
}

const lists: Readonly<Record<string, string>> = { model: 'models', train_manifest: 'manifests', eval_manifest: 'manifests' };

const summary = (values: readonly (readonly [string, string])[]): string =>
  values
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name} ${value.length > 16 ? `${value.slice(0, 12)}…` : value}`)
    .join(', ');

function statusText(current: boolean, ready: boolean, problems: number): string {
  if (!current) return 'checking …';
  if (ready) return 'The trainer would take it.';
  return problems > 0 ? `${problems} ${problems === 1 ? 'field needs' : 'fields need'} a change.` : '';
}

/** The names of all models are in the refusal of a request that names none. */
async function readModels(project: string, signal: AbortSignal): Promise<string[]> {
  try {
    await call('TrainerService/CreateRun', { parent: project, spec: { model: '?' }, validateOnly: true }, { signal });
    return [];
  } catch (error) {
    return modelsIn(problemsOf(error as Error).problems);
  }
}
