/**
 * What a file of a report has in it: the answers of the services, as protobuf's JSON, and the words around them. The command line writes it, and the
 * page in the file shows it with the views of the console.
 */
export interface ReportData {
  readonly title: string;
  /** Sentences below the title. */
  readonly summary: string;
  /** When it was made, in ISO 8601; runs may have gone on since then. */
  readonly made: string;
  /** Figures at a glance: a title and a value each. */
  readonly facts: Pairs;
  readonly runs: readonly ReportRun[];
  /** In place of runs: how the arms of a study compare. */
  readonly study?: ReportStudy;
  readonly images: readonly ReportImage[];
  readonly environment: Pairs;
  /** Commands to try next. */
  readonly commands: readonly string[];
}

export type Pairs = readonly (readonly [title: string, value: string])[];

export interface ReportRun {
  /** Run. */
  readonly run: unknown;
  /** RunEvent, in the order of the log: without the steps, but for the newest one. */
  readonly events: readonly unknown[];
  /** GetRunSeriesResponse of all steps. */
  readonly series: unknown;
  /** EvaluationRecord, of evaluations that are not in the log. */
  readonly evaluations: readonly unknown[];
  /** Checkpoint, in the order of the list. */
  readonly checkpoints: readonly unknown[];
}

/** An image that was augmented as in training. */
export interface ReportImage {
  /** A data URL. */
  readonly url: string;
  readonly className: string;
  /** What was done to it, in words. */
  readonly steps: readonly string[];
}

export interface ReportStudy {
  /** What a reader must know of the comparison, as sentences. */
  readonly notes: readonly string[];
  /** One for each metric that has curves. */
  readonly charts: readonly ReportChart[];
  readonly sections: readonly ReportSection[];
}

export interface ReportChart {
  readonly title: string;
  readonly lines: readonly ReportLine[];
}

export interface ReportLine {
  readonly arm: string;
  /** Of an epoch: how many are done, the mean over the seeds, and its interval where there are at least two. */
  readonly points: readonly (readonly [epoch: number, mean: number, low?: number, high?: number])[];
}

export interface ReportSection {
  readonly title: string;
  readonly text: string;
  readonly tables: readonly ReportTable[];
}

export interface ReportTable {
  readonly columns: readonly { readonly title: string; readonly isNumber: boolean }[];
  readonly rows: readonly (readonly string[])[];
}
