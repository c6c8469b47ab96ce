/** From lines of bench:train to the tables of docs/performance.md. */
import { median, rounded } from './statistics.js';
import type { TableRow } from './table-rows.js';

/** What one run of bench:train printed, as far as the tables need it, and which row it belongs to. */
export interface TableLine {
  row: string;
  round: number;
  processor: string;
  threads: number;
  isa: string;
  img_per_s: number;
  step_ms: number;
  disturbed: boolean;
  breakdown: { finish: number; kernels: Readonly<Record<string, number>> };
  peak_bytes: number | null;
  gflops: number;
  fraction_of_peak: number | null;
  ratio: number | null;
  memory_ratio: number | null;
  peer_config: {
    dtype: string;
    compile: number;
    fusedAttention: number;
    img_per_s: number;
    peak_bytes: number | null;
    version: string;
  } | null;
}

/** Those that nothing disturbed; all where every one was. */
function usable(lines: readonly TableLine[]): readonly TableLine[] {
  const quiet = lines.filter(({ disturbed }) => !disturbed);
  return quiet.length > 0 ? quiet : lines;
}

/** Median and, of several, the least and the most. */
function spread(values: readonly number[], digits = 3): string {
  if (values.length === 0) return '–';
  const middle = rounded(median(values), digits);
  return values.length === 1
    ? `${middle}`
    : `${middle} (${rounded(Math.min(...values), digits)} to ${rounded(Math.max(...values), digits)})`;
}

const known = (values: readonly (number | null | undefined)[]) => values.filter((value) => value !== null && value !== undefined);
const mebibytes = (bytes: readonly (number | null | undefined)[]) => {
  const some = known(bytes);
  return some.length === 0 ? '–' : `${Math.round(median(some) / 2 ** 20)}`;
};

const peerName = ({ dtype, compile, fusedAttention }: NonNullable<TableLine['peer_config']>) =>
  [dtype, compile ? 'compiled' : 'eager', ...(fusedAttention ? [] : ['plain attention'])].join(', ');

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

function speedTable(rows: readonly TableRow[], of: (name: string) => readonly TableLine[]): string {
  const head = ['', 'images/s', "PyTorch's best", 'ratio', 'at least', 'aim', 'GFLOP/s', 'of peak', 'MiB', "PyTorch's MiB", 'runs'];
  const cells = rows.map(({ name, atLeast, aim }) => {
    const lines = of(name);
    const peers = lines.flatMap(({ peer_config }) => (peer_config ? [peer_config] : []));
    const ratios = known(lines.map(({ ratio }) => ratio));
    const reached = atLeast === undefined || ratios.length === 0 ? '' : median(ratios) >= atLeast ? ' ✓' : ' ✗';
    const shares = known(lines.map(({ fraction_of_peak }) => fraction_of_peak));
    return [
      name,
      spread(lines.map(({ img_per_s }) => img_per_s)),
      peers.length === 0 ? '–' : `${spread(peers.map(({ img_per_s }) => img_per_s))}: ${peerName(peers[0]!)}`,
      `${spread(ratios)}${reached}`,
      atLeast === undefined ? '' : `${atLeast}`,
      aim === undefined ? '' : `${aim}`,
      spread(
        lines.map(({ gflops }) => gflops),
        3,
      ),
      shares.length === 0 ? '–' : `${Math.round(100 * median(shares))} %`,
      mebibytes(lines.map(({ peak_bytes }) => peak_bytes)),
      mebibytes(peers.map(({ peak_bytes }) => peak_bytes)),
      `${lines.length}${lines.some(({ disturbed }) => disturbed) ? ', disturbed' : ''}`,
    ];
  });
  return markdown(head, cells);
}

function breakdownTable(rows: readonly TableRow[], of: (name: string) => readonly TableLine[]): string {
  const groups = [...new Set(rows.flatMap(({ name }) => of(name).flatMap(({ breakdown }) => Object.keys(breakdown.kernels))))];
  const cells = rows.map(({ name }) => {
    const lines = of(name);
    const ms = (value: (line: TableLine) => number) => (lines.length === 0 ? '–' : `${rounded(median(lines.map(value)), 3)}`);
    return [
      name,
      ms(({ step_ms }) => step_ms),
      ms(({ breakdown }) => breakdown.finish),
      ...groups.map((group) => ms(({ breakdown }) => breakdown.kernels[group] ?? 0)),
    ];
  });
  return markdown(['milliseconds', 'step', 'finish', ...groups], cells);
}

/** A section for every machine: speed beside the peer's, and where a step's time goes. Rows without a line are left out. */
export function renderTables(rows: readonly TableRow[], lines: readonly TableLine[]): string {
  const machines = [...new Set(lines.map(({ processor, threads, isa }) => `${processor}, ${threads} threads, ${isa}`))];
  const sections = machines.map((machine) => {
    const own = lines.filter(({ processor, threads, isa }) => `${processor}, ${threads} threads, ${isa}` === machine);
    const of = (name: string) => usable(own.filter(({ row }) => row === name));
    const measured = rows.filter(({ name }) => of(name).length > 0);
    const version = own.find(({ peer_config }) => peer_config)?.peer_config?.version;
    return [
      `### ${machine}${version === undefined ? '' : `; ${version}`}`,
      speedTable(measured, of),
      breakdownTable(measured, of),
      ...dropPathGain(of),
    ].join('\n\n');
  });
  return sections.length === 0 ? 'Not measured yet.' : sections.join('\n\n');
}

function dropPathGain(of: (name: string) => readonly TableLine[]): string[] {
  const [plain, dropped] = ['vit_tiny bf16', 'vit_tiny bf16, `--drop_path 0.5`'].map((name) => of(name).map(({ img_per_s }) => img_per_s));
  if (!plain?.length || !dropped?.length) return [];
  return [`With \`--drop_path 0.5\` a step is ${rounded(median(dropped) / median(plain), 3)} times as fast as with 0.`];
}

const [BEGIN, END] = ['<!-- bench:table writes from here -->', '<!-- to here -->'];

/** The document with the tables between its two marks. Throws where they are missing. */
export function putTables(document: string, tables: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the document needs the lines ${BEGIN} and ${END}`);
  return `${document.slice(0, begin + BEGIN.length)}\n\n${tables}\n\n${document.slice(end)}`;
}
