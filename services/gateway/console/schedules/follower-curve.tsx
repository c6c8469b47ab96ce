/** What a change does to one run, from where it is to its end: the curve as it is, and the one that it would have. */
import { significant } from '../format/numbers.js';
import { type Draft, rateAt } from './draft.js';

interface Props {
  readonly stored: Draft;
  readonly draft: Draft;
  readonly length: { readonly epochs: number; readonly stepsPerEpoch: number };
  /** Of the run, now. */
  readonly step: number;
}

const [WIDTH, HEIGHT, POINTS] = [168, 36, 84];

export function FollowerCurve({ stored, draft, length, step }: Props) {
  const total = Math.max(1, length.epochs * length.stepsPerEpoch);
  const steps = Array.from({ length: POINTS + 1 }, (_, k) => Math.round((k * (total - 1)) / POINTS));
  const [before, after] = [stored, draft].map((of) => steps.map((at) => rateAt(of, at, length)));
  const most = Math.max(1e-9, ...[...before!, ...after!].map((rate) => rate ?? 0));
  const x = (at: number) => 1 + (at / total) * (WIDTH - 2);
  const path = (rates: readonly (number | undefined)[], from: number): string =>
    rates
      .flatMap((rate, k) => {
        if (rate === undefined || steps[k]! < from) return [];
        return [`${x(steps[k]!).toFixed(1)} ${(HEIGHT - 2 - (rate / most) * (HEIGHT - 4)).toFixed(1)}`];
      })
      .map((point, k) => `${k === 0 ? 'M' : 'L'}${point}`)
      .join('');
  return (
    <svg
      class="spark follower"
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      width={WIDTH}
      height={HEIGHT}
      role="img"
      aria-label={inWords(stored, draft, length, step)}
    >
      <path class="line-6 as-it-is" d={path(before!, 0)} />
      <path class="line-2" d={path(after!, step)} />
      <path class="line-1 here" d={`M${x(step).toFixed(1)} 0V${HEIGHT}`} />
    </svg>
  );
}

/** The mean rate over the steps that are left is what the two curves differ in. */
function inWords(stored: Draft, draft: Draft, length: Props['length'], step: number): string {
  const mean = (of: Draft): string => {
    const total = length.epochs * length.stepsPerEpoch;
    const left = Array.from({ length: POINTS }, (_, k) => rateAt(of, step + Math.floor((k * (total - step)) / POINTS), length));
    return left.some((rate) => rate === undefined)
      ? 'unknown'
      : significant(left.reduce<number>((sum, rate) => sum + rate!, 0) / POINTS, 3);
  };
  return `Mean rate of the steps that are left: ${mean(stored)} as it is, ${mean(draft)} with the change`;
}
