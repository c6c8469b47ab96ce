/** Lines of the C++ benchmarks (libs/native/bench), and the share of what the machine can do that each kernel reaches. */

export interface MultiplyAddPeak {
  peak: 'multiply-add';
  isa: string;
  type: string;
  /** Where the operands come from: registers, the limit of every kernel (default), or a cache. */
  operands?: string;
  gflops: number;
}

/** Bytes a second of reading one array and writing another, `bytes` together. */
export interface BandwidthPeak {
  peak: 'bandwidth';
  isa: string;
  bytes: number;
  gb_per_s: number;
}

export type Peak = MultiplyAddPeak | BandwidthPeak;

/** One kernel at one shape. 0: not what limits it. */
export interface KernelRow {
  isa: string;
  kernel: string;
  shape: string;
  type: string;
  us: number;
  gflops: number;
  gb_per_s: number;
  bytes: number;
}

/** JSON objects among the lines; whatever else was printed comes back as `other`. */
export function parseLines<Row>(output: string): { rows: Row[]; other: string[] } {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const isRow = (line: string) => line.startsWith('{');
  return { rows: lines.filter(isRow).map((line) => JSON.parse(line) as Row), other: lines.filter((line) => !isRow(line)) };
}

/** GB/s at a number of bytes: straight between the measured sizes on a logarithmic scale, level beyond them. */
export function bandwidthAt(peaks: readonly Peak[], isa: string, bytes: number): number | undefined {
  const curve = peaks
    .filter((peak): peak is BandwidthPeak => peak.peak === 'bandwidth' && peak.isa === isa)
    .sort((a, b) => a.bytes - b.bytes);
  const above = curve.findIndex((point) => point.bytes >= bytes);
  const [low, high] = above <= 0 ? [curve.at(above), curve.at(above)] : [curve[above - 1], curve[above]];
  if (low === undefined || high === undefined) return undefined;
  if (low === high) return low.gb_per_s;
  return low.gb_per_s + ((high.gb_per_s - low.gb_per_s) * Math.log(bytes / low.bytes)) / Math.log(high.bytes / low.bytes);
}

export interface ComparedRow extends KernelRow {
  /** Shares of the multiply-add peak and of the bandwidth at the size of the kernel's operands; undefined where not counted or not known. */
  ofMultiplyAdds: number | undefined;
  ofBandwidth: number | undefined;
}

export const onRegisters = (peak: MultiplyAddPeak) => (peak.operands ?? 'registers') === 'registers';

export function compare(row: KernelRow, peaks: readonly Peak[]): ComparedRow {
  const products = peaks.find(
    (peak): peak is MultiplyAddPeak => peak.peak === 'multiply-add' && peak.isa === row.isa && peak.type === row.type && onRegisters(peak),
  );
  const bandwidth = row.bytes > 0 ? bandwidthAt(peaks, row.isa, row.bytes) : undefined;
  return {
    ...row,
    ofMultiplyAdds: row.gflops > 0 && products ? row.gflops / products.gflops : undefined,
    ofBandwidth: bandwidth === undefined ? undefined : row.gb_per_s / bandwidth,
  };
}
