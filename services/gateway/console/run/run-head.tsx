/** The name of a run, its state, how far it is, and its figures at a glance. */
import type { ComponentChildren } from 'preact';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { enumWord } from '#spec/json-words.js';
import { type Json, num } from '../api/json.js';
import { count, duration, percent, roughly, significant } from '../format/numbers.js';
import { idOf, stateWord } from '../format/words.js';
import type { RunHistory } from '../history/run-history.js';
import { StateMark } from '../widgets/icons.js';

interface Props {
  readonly run: Json<Run>;
  readonly history: RunHistory | undefined;
  /** Of its heading; default: 1, for it is the page's. */
  readonly level?: 1 | 2;
  /** The way to where the run was found. */
  readonly crumbs?: ComponentChildren;
  /** What can be done with the run. */
  readonly children?: ComponentChildren;
}

export function RunHead({ run, history, level = 1, crumbs, children }: Props) {
  const Heading = `h${level}` as const;
  const state = stateWord(run.state);
  const step = Math.max(num(run.step), history?.steps.length ? history.steps.steps.at(-1)! + 1 : 0);
  const total = num(run.totalSteps);
  return (
    <div class="run-head">
      <p class="crumbs">
        {crumbs} <span class="mono">{run.uid}</span>
      </p>
      <div class="page-head">
        <Heading>{idOf(run.name)}</Heading>
        <StateMark state={state} note={run.pauseRequested ? 'pausing' : state} />
        {Object.entries(run.labels ?? {}).map(([key, value]) => (
          <span class="label" key={key}>
            {key}={value}
          </span>
        ))}
        {children}
      </div>
      {(run.failure || run.statusMessage || run.evaluationFailure) && (
        <div class={`note ${run.failure ? 'note-error' : 'note-away'}`}>
          {run.failure && <p>{run.failure}</p>}
          {run.statusMessage && <p>The run {run.statusMessage}</p>}
          {!run.failure && run.evaluationFailure && <p>The newest failed evaluation: {run.evaluationFailure}</p>}
        </div>
      )}
      <progress class="wide" value={total === 0 ? 0 : step / total} max={1} aria-label="Progress" />
      <dl class="facts">
        {facts(run, history, step, total).map(([title, value, more]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd>
              {value}
              {more && <small>{more}</small>}
            </dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

type Fact = readonly [title: string, value: string, more?: string];

function facts(run: Json<Run>, history: RunHistory | undefined, step: number, total: number): Fact[] {
  const { spec = {} } = run;
  const running = stateWord(run.state) === 'running';
  const seconds = history?.secondsPerStep;
  const images = (spec.batchSize ?? 64) * (spec.updateFreq ?? 1);
  const perEpoch = num(run.stepsPerEpoch);
  const loss = history?.steps.column('loss').at(-1);
  return [
    ['Step', count(step), `of ${count(total)}`],
    ['Epoch', perEpoch === 0 ? '–' : String(Math.min(spec.epochs ?? 300, Math.floor(step / perEpoch) + 1)), `of ${spec.epochs ?? 300}`],
    ['Time left', running && seconds !== undefined ? duration((total - step) * seconds) : '–'],
    ['Speed', running && seconds ? count(images / seconds) : '–', 'images/s'],
    ['Loss', loss === undefined ? '–' : significant(loss)],
    ['Best top-1', run.bestTop1 === undefined ? '–' : `${run.bestTop1.toFixed(2)} %`, idOf(run.bestCheckpoint)],
    ['Data wait', running ? percent(num(run.dataWaitShare)) : '–', 'of the time'],
    ['Model', spec.model ?? '', `${roughly(num(run.parameters))} parameters`],
    ['Engine', enumWord(run.engine) || enumWord(spec.engine), enumWord(spec.precision)],
    ['Attempt', String(run.attempt ?? 0), history?.worker],
  ] as Fact[];
}
