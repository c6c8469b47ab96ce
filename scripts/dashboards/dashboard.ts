/**
 * What a Grafana dashboard is made of here: rows of panels whose places follow from their order, and queries. The dashboards beside this file use it,
 * and main.ts writes them to deploy/grafana/dashboards.
 */

/** Units of Grafana that panels here use. */
type Unit = 'short' | 's' | 'bytes' | 'Bps' | 'percentunit' | 'reqps' | 'ops' | 'cores';

export interface Query {
  readonly expr: string;
  /** With labels in double braces; empty: all labels. */
  readonly legend: string;
}

export interface Panel {
  readonly type: 'timeseries' | 'stat' | 'table';
  readonly title: string;
  /** What a reader should conclude, where the title does not say it. */
  readonly description?: string;
  readonly unit: Unit;
  readonly queries: readonly Query[];
  /** Of 24 columns. */
  readonly width: number;
  readonly height: number;
  readonly min?: number;
  /** Values from which a stat is yellow and red. */
  readonly warn?: { readonly from: number; readonly bad: number };
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

export interface Dashboard {
  /** Also the name of its file. */
  readonly id: string;
  readonly title: string;
  readonly description: string;
  /** Name and metric of each label that a reader chooses values of. */
  readonly choices?: readonly { readonly label: string; readonly of: string }[];
  readonly rows: readonly Row[];
}

type Look = Partial<Pick<Panel, 'description' | 'width' | 'height' | 'min' | 'warn'>>;

export const query = (legend: string, expr: string): Query => ({ legend, expr });

/** For what has no series before something has happened: a line at 0 says that it has not, an empty panel says nothing. */
export const orZero = (expr: string): string => `${expr} or on () vector(0)`;

export function lines(title: string, unit: Unit, queries: readonly Query[], look: Look = {}): Panel {
  return { type: 'timeseries', title, unit, queries, width: 8, height: 8, ...look };
}

export function stat(title: string, unit: Unit, expr: string, look: Look = {}): Panel {
  return { type: 'stat', title, unit, queries: [query('', expr)], width: 4, height: 4, ...look };
}

export function table(title: string, expr: string, look: Look = {}): Panel {
  return { type: 'table', title, unit: 'short', queries: [query('', expr)], width: 24, height: 7, ...look };
}

/** `histogram_quantile` of a histogram's name over the labels `by`, besides `le`. */
export const quantile = (q: number, histogram: string, by: readonly string[] = [], selector = ''): string =>
  `histogram_quantile(${q}, sum by (${['le', ...by].join(', ')}) (rate(${histogram}_bucket${selector}[$__rate_interval])))`;

/** Mean of a histogram's values over the labels `by`. */
export function mean(histogram: string, by: readonly string[] = []): string {
  const sum = (part: string): string =>
    `sum${by.length > 0 ? ` by (${by.join(', ')})` : ''} (rate(${histogram}_${part}[$__rate_interval]))`;
  return `${sum('sum')} / ${sum('count')}`;
}
