/** The services behind the gateway, what waits, and who works. */
import type { Evaluation } from '#protocol/dropstream/v1/evaluator.js';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { enumWord } from '#spec/json-words.js';
import { call } from '../api/call.js';
import { evaluationPages } from '../api/evaluation-pages.js';
import { type Json, num } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { link } from '../app/route.js';
import { count, percent } from '../format/numbers.js';
import { ago } from '../format/time.js';
import { idOf, stateWord } from '../format/words.js';
import { ErrorNote, Waiting } from '../widgets/notes.js';
import { Dashboards } from './dashboards.js';
import { readHealth, readWishes } from './services.js';
import { version } from './version.js';

const EVERY_MS = 5000;
const MOST = 200;

export function SystemPage({ project }: { readonly project: string }) {
  return (
    <>
      <div class="page-head">
        <h1>System</h1>
        <p class="muted">
          Gateway and console are version {version}. Every call of this page is an RPC that you can make yourself:{' '}
          <a href="/openapi.json">the OpenAPI document</a>
        </p>
      </div>
      <Services />
      <Dashboards />
      <div class="columns">
        <Work project={project} />
        <Evaluations project={project} />
      </div>
    </>
  );
}

function Services() {
  const health = useCall(readHealth, [], EVERY_MS);
  const wishes = useCall(readWishes, [], EVERY_MS);
  return (
    <div class="columns">
      <section class="card" aria-labelledby="services-title">
        <h2 id="services-title">Services</h2>
        {health.error && <ErrorNote error={health.error} stale={health.data !== undefined} />}
        {!health.data && !health.error && <Waiting what="Asking the services" />}
        <ul class="services">
          {health.data?.map(({ name, does, state, why, ms, version: of }) => (
            <li key={name}>
              <strong>{name}</strong>
              <span class="muted">{does}</span>
              <span class={`health health-${state.replace(' ', '-')}`}>
                {state}
                {why && <small>{why}</small>}
              </span>
              <span class={`n ${of === '' || of === version ? 'muted' : 'other-version'}`}>
                {of && `version ${of}`}
                {ms !== undefined && <small>{ms.toFixed(0)} ms</small>}
              </span>
            </li>
          ))}
        </ul>
      </section>
      <section class="card" aria-labelledby="wishes-title">
        <h2 id="wishes-title">What the work wants</h2>
        <p class="muted">The scaler computes it from the queues; KEDA or a person starts and stops replicas.</p>
        <dl class="facts small">
          {wishes.data?.map(({ part, title, replicas }) => (
            <div key={part}>
              <dt>{title}</dt>
              <dd>{replicas === undefined ? '–' : count(replicas)}</dd>
            </div>
          ))}
        </dl>
        {wishes.data?.every(({ replicas }) => replicas === undefined) && <p class="muted">The trainer cannot say: {wishes.data[0]?.why}</p>}
      </section>
    </div>
  );
}

const active = 'state = (QUEUED OR RUNNING OR PAUSED)';

function Work({ project }: { readonly project: string }) {
  const { data, error } = useCall(
    async (signal) =>
      (await call('TrainerService/ListRuns', { parent: project, filter: active, orderBy: 'create_time', pageSize: MOST }, { signal }))
        .runs ?? [],
    [project],
    EVERY_MS,
  );
  const running = (data ?? []).filter(({ state }) => stateWord(state) === 'running');
  const waiting = (data ?? []).filter(({ state }) => stateWord(state) === 'queued').toSorted(inQueue);
  const paused = (data?.length ?? 0) - running.length - waiting.length;
  const workers = running.flatMap((run) => (run.workers ?? []).map((worker, k) => ({ worker, run, leads: k === 0 })));
  return (
    <section class="card" aria-labelledby="work-title">
      <h2 id="work-title">Runs of {idOf(project)}</h2>
      {error && <ErrorNote error={error} stale={data !== undefined} />}
      {data?.length === 0 && <p class="muted">No run is active.</p>}
      {paused > 0 && (
        <p class="muted">
          {paused} {paused === 1 ? 'run is' : 'runs are'} paused.
        </p>
      )}
      {workers.length > 0 && (
        <>
          <h3>Workers</h3>
          <ul class="plain">
            {workers.map(({ worker, run, leads }) => (
              <li key={`${run.uid} ${worker}`}>
                <span class="mono">{worker || 'a worker without a name'}</span>{' '}
                <span class="muted">
                  {leads ? 'trains' : 'helps with'} <a href={link(run.name ?? '')}>{idOf(run.name)}</a>
                </span>
              </li>
            ))}
          </ul>
        </>
      )}
      {running.length > 0 && <h3>At work</h3>}
      <ul class="plain">
        {running.map((run) => (
          <li key={run.uid}>
            <a href={link(run.name ?? '')}>{idOf(run.name)}</a> <span class="muted">{atWork(run)}</span>
          </li>
        ))}
      </ul>
      {waiting.length > 0 && <h3>In the queue, the next one first</h3>}
      <ol class="plain">
        {waiting.map((run) => (
          <li key={run.uid}>
            <a href={link(run.name ?? '')}>{idOf(run.name)}</a>{' '}
            <span class="muted">
              {num(run.spec?.priority) !== 0 && `priority ${run.spec?.priority}, `}
              {run.statusMessage || (run.createTime ? `created ${ago(new Date(run.createTime))}` : '')}
            </span>
          </li>
        ))}
      </ol>
    </section>
  );
}

/** As workers take them: by priority, then by age. Projects take turns, so a run of another one may come before. */
const inQueue = (a: Json<Run>, b: Json<Run>): number =>
  num(b.spec?.priority) - num(a.spec?.priority) || (a.createTime ?? '').localeCompare(b.createTime ?? '');

const atWork = ({ engine, attempt, dataWaitShare }: Json<Run>): string =>
  `engine ${enumWord(engine)}, attempt ${attempt ?? 1}, waits for data ${percent(num(dataWaitShare))} of the time`;

const newestOf = (evaluations: readonly Json<Evaluation>[]): readonly Json<Evaluation>[] =>
  evaluations.toSorted((a, b) => (b.createTime ?? '').localeCompare(a.createTime ?? '')).slice(0, 12);

function Evaluations({ project }: { readonly project: string }) {
  const { data, error } = useCall(
    async (signal) => {
      let newest: readonly Json<Evaluation>[] = [];
      for await (const page of evaluationPages(project, { signal })) newest = newestOf([...newest, ...page]);
      return newest;
    },
    [project],
    EVERY_MS,
  );
  return (
    <section class="card" aria-labelledby="evaluations-title">
      <h2 id="evaluations-title">Evaluations</h2>
      {error && <ErrorNote error={error} stale={data !== undefined} />}
      {data?.length === 0 && <p class="muted">There are no evaluations.</p>}
      <ul class="plain">
        {data?.map((evaluation) => (
          <li key={evaluation.uid}>
            {idOf(evaluation.spec?.checkpoint)} of {evaluation.spec?.checkpoint?.split('/')[3]}{' '}
            <span class="muted">{evaluationText(evaluation)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

function evaluationText({ state, result, failure, samplesDone, samplesTotal }: Json<Evaluation>): string {
  const word = enumWord(state);
  if (word === 'succeeded') return `top-1 ${num(result?.weights?.top1).toFixed(2)} %`;
  if (word === 'failed') return `failed: ${failure ?? ''}`;
  if (word === 'running') return `${count(num(samplesDone))} of ${count(num(samplesTotal))} images`;
  return word;
}
