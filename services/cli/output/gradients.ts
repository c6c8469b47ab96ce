/** Shows the statistics of gradients as a table: the model, then each of its parts. */
import type { DirectionStatistics, GradientStatistics } from '#protocol/dropstream/v1/evaluator.js';
import { significant } from './numbers.js';
import { tableLines } from './table.js';

interface Row {
  readonly of: string;
  readonly drop: string;
  readonly directions: DirectionStatistics;
  readonly wholeSetNorm: number;
}

export function gradientLines({ withDrop, withoutDrop, blocks, wholeSetNorm }: GradientStatistics): string[] {
  const rowsOf = (of: string, dropped: DirectionStatistics | undefined, plain: DirectionStatistics | undefined, norm: number): Row[] => [
    ...(dropped ? [{ of, drop: 'with', directions: dropped, wholeSetNorm: norm }] : []),
    ...(plain ? [{ of, drop: 'without', directions: plain, wholeSetNorm: norm }] : []),
  ];
  const rows = [
    ...rowsOf('model', withDrop, withoutDrop, wholeSetNorm),
    ...blocks.flatMap((one) => rowsOf(one.block, one.withDrop, one.withoutDrop, one.wholeSetNorm)),
  ];
  const number = (value: number | undefined) => (value === undefined ? undefined : significant(value, 5));
  return tableLines(rows, [
    { title: 'GRADIENT OF', value: ({ of }) => of },
    { title: 'DROP', value: ({ drop }) => drop },
    { title: 'DIRECTION VARIANCE', value: ({ directions }) => number(directions.variance), align: 'right' },
    { title: 'DIRECTION ERROR', value: ({ directions }) => number(directions.error), align: 'right' },
    { title: 'NORM', value: ({ directions }) => number(directions.norm), align: 'right' },
    { title: 'WHOLE SET', value: ({ wholeSetNorm: norm }) => number(norm), align: 'right' },
    { title: 'LOSS', value: ({ directions }) => number(directions.loss), align: 'right' },
  ]);
}
