/** The report of a study as data: a pure function of its runs, so that equal runs have an equal report. */
import { bootstrapInterval, deviationOf, type Interval, meanOf, tInterval } from '#statistics/intervals.js';
import { holm, pairedT, signFlip } from '#statistics/paired-tests.js';
import { type MeasuredRun, type Metric, metricNames, metrics } from './measured-run.js';

export interface Summary {
  readonly runs: number;
  readonly mean: number;
  /** Absent for one run. */
  readonly deviation?: number | undefined;
  readonly tInterval?: Interval | undefined;
  readonly bootstrapInterval?: Interval | undefined;
}

export interface Comparison {
  readonly arm: string;
  readonly against: string;
  /** Seeds that both arms have. */
  readonly pairs: number;
  /** Mean of arm − against over the pairs. */
  readonly difference: number;
  readonly tInterval?: Interval | undefined;
  readonly bootstrapInterval?: Interval | undefined;
  readonly pairedT?: number | undefined;
  readonly signFlip?: number | undefined;
  /** Whether every choice of signs was tried. */
  readonly signFlipExact: boolean;
  /** Corrected by Holm over the comparisons of the metric. */
  readonly pairedTCorrected?: number | undefined;
  readonly signFlipCorrected?: number | undefined;
}

export interface CurvePoint {
  /** Epochs done. */
  readonly epoch: number;
  readonly runs: number;
  readonly mean: number;
  readonly low?: number | undefined;
  readonly high?: number | undefined;
}

export interface MetricReport {
  readonly metric: Metric;
  readonly meaning: string;
  readonly arms: readonly ({ readonly arm: string } & Summary)[];
  readonly comparisons: readonly Comparison[];
  readonly curves: readonly { readonly arm: string; readonly points: readonly CurvePoint[] }[];
}

export interface StudyReport {
  readonly study: string;
  readonly baseline: string;
  /** Fingerprint of the compared runs; '' if there is none, or several were allowed. */
  readonly fingerprint: string;
  readonly runs: readonly (Omit<MeasuredRun, 'curves' | 'cutoffMeasurements'> & { readonly compared: boolean })[];
  readonly metrics: readonly MetricReport[];
  /** What a reader must know of the comparison, as sentences. */
  readonly notes: readonly string[];
}

export interface ReportOptions {
  /** Order of the arms; others follow by name. */
  readonly arms?: readonly string[];
  /** Compare all arms with this one; '': each with each. */
  readonly baseline: string;
  /** Compare runs whose fingerprints differ, too. */
  readonly anyFingerprint: boolean;
}

export function reportOf(study: string, measured: readonly MeasuredRun[], options: ReportOptions): StudyReport {
  const { baseline, anyFingerprint } = options;
  const names = new Set([...(options.arms ?? []), ...measured.map(({ arm }) => arm).sort()]);
  const runs = [...measured].sort(
    (a, b) => a.arm.localeCompare(b.arm, 'en') || Number(a.seed) - Number(b.seed) || (a.run < b.run ? -1 : 1),
  );
  const done = runs.filter(({ state }) => state === 'SUCCEEDED');
  const fingerprint = anyFingerprint ? '' : commonest(done.map((run) => run.fingerprint).filter((one) => one !== ''));
  const compared = done.filter((run) => anyFingerprint || (run.fingerprint !== '' && run.fingerprint === fingerprint));
  const arms = [...names].map((arm) => ({ arm, runs: compared.filter((run) => run.arm === arm) }));
  const reports = metricNames.flatMap((metric) => {
    const report = metricReport(metric, arms, baseline);
    return report.arms.length > 0 ? [report] : [];
  });
  return {
    study,
    baseline,
    fingerprint,
    runs: runs.map((measured) => {
      const { run, arm, seed, state, totalSteps, fingerprint: own } = measured;
      return { run, arm, seed, state, totalSteps, fingerprint: own, compared: compared.includes(measured) };
    }),
    metrics: reports,
    notes: [...notesOf(arms, done, compared, runs, anyFingerprint), ...otherArms(reports, options.arms), ...pairNotes(reports)],
  };
}

interface ArmRuns {
  readonly arm: string;
  readonly runs: readonly MeasuredRun[];
}

/** Metrics of the last epoch alone, which have no curve. */
const measuredOnce: ReadonlySet<Metric> = new Set(['final_train_loss']);

/** The value that most have; of equally many, the first in order. */
function commonest(values: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1))[0]?.[0] ?? '';
}

/** Value of the last epoch, absent if that one was not measured. */
const finalOf = ({ curves }: MeasuredRun, metric: Metric): number | undefined => curves[metric]?.[(curves.train_loss?.length ?? 0) - 1];

function metricReport(metric: Metric, arms: readonly ArmRuns[], baseline: string): MetricReport {
  const finals = arms.map(({ arm, runs }) => ({
    arm,
    bySeed: new Map(runs.flatMap((run) => (finalOf(run, metric) === undefined ? [] : [[run.seed, finalOf(run, metric)!] as const]))),
  }));
  const measured = finals.filter(({ bySeed }) => bySeed.size > 0);
  const pairs = measured.flatMap((one, k) =>
    measured
      .filter((other, i) => (baseline === '' ? i < k : other.arm === baseline && one.arm !== baseline))
      .map((other) => compare(metric, one, other))
      .filter(({ pairs: shared }) => shared > 0),
  );
  const [byT, byFlip] = [holm(pairs.map((pair) => pair.pairedT)), holm(pairs.map((pair) => pair.signFlip))];
  return {
    metric,
    meaning: metrics[metric],
    arms: measured.map(({ arm, bySeed }) => ({ arm, ...summary([...bySeed.values()], `${metric} ${arm}`) })),
    comparisons: pairs.map((pair, k) => ({ ...pair, pairedTCorrected: byT[k], signFlipCorrected: byFlip[k] })),
    curves: measuredOnce.has(metric)
      ? []
      : arms.flatMap(({ arm, runs }) => {
          const points = curveOf(runs, metric);
          return points.length > 0 ? [{ arm, points }] : [];
        }),
  };
}

function summary(values: readonly number[], purpose: string): Summary {
  const deviation = values.length > 1 ? deviationOf(values) : undefined;
  return {
    runs: values.length,
    mean: meanOf(values),
    deviation,
    tInterval: tInterval(values),
    bootstrapInterval: bootstrapInterval(values, purpose),
  };
}

interface ArmValues {
  readonly arm: string;
  readonly bySeed: ReadonlyMap<string, number>;
}

function compare(metric: Metric, one: ArmValues, other: ArmValues): Comparison {
  const differences = [...one.bySeed].flatMap(([seed, value]) => (other.bySeed.has(seed) ? [value - other.bySeed.get(seed)!] : []));
  const purpose = `${metric} ${one.arm} against ${other.arm}`;
  const flip = signFlip(differences, purpose);
  return {
    arm: one.arm,
    against: other.arm,
    pairs: differences.length,
    difference: meanOf(differences),
    tInterval: tInterval(differences),
    bootstrapInterval: bootstrapInterval(differences, purpose),
    pairedT: pairedT(differences),
    signFlip: flip?.p,
    signFlipExact: flip?.exact ?? true,
  };
}

function curveOf(runs: readonly MeasuredRun[], metric: Metric): CurvePoint[] {
  const epochs = Math.max(0, ...runs.map(({ curves }) => curves[metric]?.length ?? 0));
  return Array.from({ length: epochs }, (_, epoch) => runs.flatMap(({ curves }) => curves[metric]?.[epoch] ?? [])).flatMap(
    (values, epoch) => {
      if (values.length === 0) return [];
      const [low, high] = tInterval(values) ?? [];
      return [{ epoch: epoch + 1, runs: values.length, mean: meanOf(values), low, high }];
    },
  );
}

function notesOf(
  arms: readonly ArmRuns[],
  done: readonly MeasuredRun[],
  compared: readonly MeasuredRun[],
  runs: readonly MeasuredRun[],
  anyFingerprint: boolean,
): string[] {
  const notes: string[] = [];
  const open = runs.length - done.length;
  if (open > 0) notes.push(`${open} of ${runs.length} runs have not succeeded and are left out.`);
  const fingerprints = new Set(done.map(({ fingerprint }) => fingerprint));
  if (anyFingerprint && (fingerprints.size > 1 || fingerprints.has('')))
    notes.push(
      'The runs have different fingerprints (processor, engine, precision, build or shapes), so equal seeds are no equal trainings.',
    );
  else if (done.length > compared.length)
    notes.push(
      `${done.length - compared.length} runs are left out, because their fingerprint is another one, has changed on the way, or is not known.`,
    );
  const budgets = new Set(compared.map(({ totalSteps }) => totalSteps));
  if (budgets.size > 1) notes.push(`The runs have different numbers of steps: ${[...budgets].sort((a, b) => a - b).join(', ')}.`);
  const twice = arms.filter((arm) => new Set(arm.runs.map(({ seed }) => seed)).size < arm.runs.length).map(({ arm }) => arm);
  if (twice.length > 0) notes.push(`A seed occurs more than once, and the last run of it counts, in: ${twice.join(', ')}.`);
  return notes;
}

/** A study is its labels: an earlier file of the same name, or somebody else's, has runs here, too. */
function otherArms(reports: readonly MetricReport[], ofFile: readonly string[] | undefined): string[] {
  const compared = new Set(reports.flatMap(({ arms }) => arms.map(({ arm }) => arm)));
  const others = ofFile === undefined ? [] : [...compared].filter((arm) => !ofFile.includes(arm));
  return others.length > 0 ? [`Arms that the file does not have, with runs of this study, are compared, too: ${others.join(', ')}.`] : [];
}

/** Arms may have runs of other seeds, so there may be fewer pairs than runs. */
function pairNotes(reports: readonly MetricReport[]): string[] {
  const pairs = reports.flatMap(({ comparisons }) => comparisons.map((one) => one.pairs));
  const fewest = pairs.reduce((least, one) => Math.min(least, one), Number.POSITIVE_INFINITY);
  if (fewest >= 6) return [];
  return [`With ${fewest} ${fewest === 1 ? 'pair' : 'pairs'}, the sign-flip test cannot give less than p = ${2 / 2 ** fewest}.`];
}
