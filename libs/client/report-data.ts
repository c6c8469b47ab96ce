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
