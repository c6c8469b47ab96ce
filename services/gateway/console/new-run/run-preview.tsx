/** What the run of the form would be: its length, its curves, and the same call in a terminal and in programs. */
import { useMemo, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { learningRate } from '#schedule/index.js';
import { type Json, num } from '../api/json.js';
import { Chart } from '../chart/chart.js';
import type { Line } from '../chart/plot-data.js';
import { count, roughly, significant } from '../format/numbers.js';
import { bandsOf } from '../run/bands.js';
import { segmentLine } from '../schedules/segment-line.js';
import { Code } from '../widgets/notes.js';
import { type CallNames, commandLine, pythonCall, typescriptCall } from './same-call.js';
import type { Values } from './spec-of.js';

const languages = { terminal: commandLine, TypeScript: typescriptCall, Python: pythonCall } as const;

export function RunPreview({
  run,
  values,
  names,
}: {
  readonly run: Json<Run> | undefined;
  readonly values: Values;
  readonly names: CallNames;
}) {
  const [language, setLanguage] = useState<keyof typeof languages>('terminal');
  return (
    <>
      {run && <Plan run={run} />}
      <section class="card" aria-labelledby="same-title">
        <div class="card-head">
          <h2 id="same-title">The same as</h2>
          <select
            aria-label="Language"
            value={language}
            onChange={({ currentTarget }) => setLanguage(currentTarget.value as keyof typeof languages)}
          >
            {Object.keys(languages).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </div>
        <Code label={`The same in ${language}`} text={languages[language](values, names)} />
      </section>
    </>
  );
}

function Plan({ run }: { readonly run: Json<Run> }) {
  const { spec = {} } = run;
  const [total, perEpoch] = [num(run.totalSteps), num(run.stepsPerEpoch)];
  const full = { from: 0, to: total };
  const lr = useMemo(() => rateLine(run), [run]);
  const drop = useMemo(() => segmentLine(run.dropSegments ?? [], 'drop rate', 1), [run]);
  const epochs = (step: number) => significant(step / Math.max(1, perEpoch), 3);
  const shared = {
    full,
    window: undefined,
    onWindow: () => undefined,
    formatX: epochs,
    xName: 'epoch',
    sync: 'plan',
    bands: bandsOf(run.dropSegments ?? []),
    height: 120,
  } as const;
  return (
    <section class="card" aria-labelledby="plan-title">
      <h2 id="plan-title">What it would be</h2>
      <dl class="facts small">
        <div>
          <dt>Parameters</dt>
          <dd>{roughly(num(run.parameters))}</dd>
        </div>
        <div>
          <dt>Steps</dt>
          <dd>
            {count(total)}
            <small>{count(perEpoch)} an epoch</small>
          </dd>
        </div>
        <div>
          <dt>Total batch</dt>
          <dd>{count((spec.batchSize ?? 64) * (spec.updateFreq ?? 1))}</dd>
        </div>
      </dl>
      <Chart {...shared} title="Drop rate" lines={drop} version={run} format={(y) => significant(y, 3)} />
      <Chart {...shared} title="Learning rate" lines={lr} version={run} format={(y) => significant(y, 3)} />
    </section>
  );
}

const POINTS = 300;

function rateLine({ spec = {}, totalSteps, stepsPerEpoch }: Json<Run>): Line[] {
  const total = num(totalSteps);
  const { lr = 4e-3, minLr = 1e-6, warmupEpochs = 50, warmupSteps = '-1' } = spec;
  try {
    const rates = learningRate(
      { lr, minLr, warmupEpochs, warmupSteps: Number(warmupSteps) },
      { epochs: spec.epochs ?? 300, stepsPerEpoch: num(stepsPerEpoch) },
    );
    const x = Float64Array.from({ length: Math.min(POINTS, total) }, (_, k) =>
      Math.floor((k * (total - 1)) / Math.max(1, Math.min(POINTS, total) - 1)),
    );
    return [{ label: 'learning rate', color: 0, x, y: x.map((step) => rates.at(step)) }];
  } catch {
    return [];
  }
}
