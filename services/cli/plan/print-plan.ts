/** Formats a plan as text: its main numbers, and the curves as sparklines and as segments. */
import { bytes, count, duration, significant } from '../output/numbers.js';
import { fieldLines, tableLines } from '../output/table.js';
import type { RunCost } from './run-cost.js';
import type { Curve, RunPlan } from './run-plan.js';

export function planLines(plan: RunPlan, cost: RunCost): string[] {
  const { batchSize, microBatches, world } = plan;
  const folded = world === 1 ? '' : ` (update_freq ${microBatches / world} · world ${world})`;
  const seconds = cost.secondsPerStep * plan.totalSteps;
  return [
    ...fieldLines([
      ['model', plan.model],
      ['parameters', count(plan.parameters)],
      ['total batch', `${count(plan.totalBatch)}: ${count(microBatches)} micro-batches${folded} of ${count(batchSize)}`],
      ['steps', `${count(plan.stepsPerEpoch)} in each epoch, ${count(plan.totalSteps)} in ${count(plan.epochs)} epochs`],
      ...plan.curves.map((curve) => [curveName(curve, plan), `${sparkline(curve)}  ${range(curve)}`] as const),
      ['memory', `${bytes(cost.memoryBytes)}${cost.measured ? '' : ' of parameters and their state'}, without the images`],
      ['time', `about ${duration(seconds)}: ${duration(cost.secondsPerStep)} per step`],
      ['', cost.how],
    ]),
    '',
    ...tableLines(
      plan.curves.flatMap((curve) => curve.segments.map((segment) => ({ curve: curveName(curve, plan), ...segment }))),
      [
        { title: 'CURVE', value: (s) => s.curve },
        { title: 'FIRST STEP', value: (s) => count(s.start) },
        { title: 'LAST STEP', value: (s) => count(s.end - 1) },
        { title: 'FORMULA', value: (s) => s.formula },
        { title: 'FROM', value: (s) => significant(s.startValue, 6), align: 'right' },
        { title: 'TO', value: (s) => significant(s.endValue, 6), align: 'right' },
      ],
    ),
  ];
}

const curveName = ({ name }: Curve, { drops }: RunPlan): string => (name === 'drop' && drops ? drops : name);

const blocks = '▁▂▃▄▅▆▇█';

/** Draws a curve in eight heights between 0 and its largest value. */
export function sparkline({ samples }: Pick<Curve, 'samples'>): string {
  const most = Math.max(...samples.map(({ value }) => value));
  return samples.map(({ value }) => blocks[most > 0 ? Math.round((value / most) * (blocks.length - 1)) : 0]).join('');
}

/** The first, largest and last value of a curve, without repetitions. */
function range({ samples, segments }: Curve): string {
  const [first, last] = [samples[0]!.value, samples.at(-1)!.value];
  const most = Math.max(...segments.flatMap(({ startValue, endValue }) => [startValue, endValue]));
  // Printed values are compared, because a cosine comes close to its end without reaching it.
  const [from, peak, to] = [first, Math.max(first, most, last), last].map((value) => significant(value, 3));
  if (from === to && peak === from) return String(from);
  return peak === from || peak === to ? `${from} → ${to}` : `${from} → ${peak} → ${to}`;
}
