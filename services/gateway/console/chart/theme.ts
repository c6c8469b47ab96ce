/** The colours of charts, from the style sheet, in the theme that the reader's system has. */
import { store } from '../widgets/store.js';

export interface ChartTheme {
  readonly lines: readonly string[];
  readonly ink: string;
  readonly muted: string;
  readonly rule: string;
  readonly band: string;
  readonly bad: string;
  readonly font: string;
  /** Size of the page's text beside the usual one: it is larger on very wide screens, and if the reader wants it so. */
  readonly scale: number;
}

/** Number of line colours; further lines repeat them with another dash. */
export const LINE_COLORS = 6;

/** Pixels of the page's text on usual screens. */
const USUAL_TEXT = 13.5;

function read(): ChartTheme {
  const style = getComputedStyle(document.documentElement);
  const scale = Number.parseFloat(style.fontSize) / USUAL_TEXT;
  const value = (name: string) => style.getPropertyValue(name).trim();
  return {
    lines: Array.from({ length: LINE_COLORS }, (_, k) => value(`--line-${k + 1}`)),
    ink: value('--ink'),
    muted: value('--muted'),
    rule: value('--rule'),
    band: value('--band'),
    bad: value('--bad'),
    font: `${11 * scale}px ${value('--sans')}`,
    scale,
  };
}

let current: ChartTheme | undefined;
/** Counts the changes of the theme. */
export const themeChanges = store(0);

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  current = undefined;
  themeChanges.set(themeChanges.get() + 1);
});

export function chartTheme(): ChartTheme {
  current ??= read();
  return current;
}

/** The dash of the k-th line: a second way to tell lines apart. */
export const dashOf = (k: number): number[] => dashes[dashNumber(k)]!;

/** The classes dash-1 to dash-3 of legends look like these. */
const dashes = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const dashNumber = (k: number): number => Math.floor(k / LINE_COLORS) % dashes.length;

/** The class of a line's colour. */
export const colorClass = (k: number): string => `line-${(k % LINE_COLORS) + 1}`;

/** The classes of a line's sign in a legend: its colour, and its dash where there are more lines than colours. */
export const signClass = (k: number): string => `sign-line ${colorClass(k)} dash-${dashNumber(k)}`;
