/** The tables of a report, for the terminal and for the page. */
import type { Interval } from '#statistics/intervals.js';
import { significant } from '../output/numbers.js';
import type { Column } from '../output/table.js';
import type { Comparison, MetricReport } from './study-report.js';

const number = (value: number | undefined) => (value === undefined ? undefined : significant(value, 5));
const interval = (value: Interval | undefined) => value && `${significant(value[0], 5)} … ${significant(value[1], 5)}`;
/** Small ones with an exponent. */
const probability = (value: number | undefined) => (value === undefined ? undefined : significant(value, 3));

const right = 'right' as const;

export const armColumns: readonly Column<MetricReport['arms'][number]>[] = [
  { title: 'ARM', value: ({ arm }) => arm },
  { title: 'RUNS', value: ({ runs }) => runs },
  { title: 'MEAN', value: ({ mean }) => number(mean), align: right },
  { title: 'DEVIATION', value: ({ deviation }) => number(deviation), align: right },
  { title: '95 % (T)', value: ({ tInterval }) => interval(tInterval) },
  { title: '95 % (BOOTSTRAP)', value: ({ bootstrapInterval }) => interval(bootstrapInterval) },
];

export const comparisonColumns: readonly Column<Comparison>[] = [
  { title: 'ARM', value: ({ arm, against }) => `${arm} − ${against}` },
  { title: 'PAIRS', value: ({ pairs }) => pairs },
  { title: 'DIFFERENCE', value: ({ difference }) => number(difference), align: right },
  { title: '95 % (T)', value: ({ tInterval }) => interval(tInterval) },
  { title: '95 % (BOOTSTRAP)', value: ({ bootstrapInterval }) => interval(bootstrapInterval) },
  { title: 'P (T)', value: ({ pairedT }) => probability(pairedT), align: right },
  { title: 'HOLM', value: ({ pairedTCorrected }) => probability(pairedTCorrected), align: right },
  { title: 'P (SIGNS)', value: ({ signFlip }) => probability(signFlip), align: right },
  { title: 'HOLM', value: ({ signFlipCorrected }) => probability(signFlipCorrected), align: right },
];
