/**
 * Finished runs of a study as a file of lines, one JSON object each. It outlives the store and the machine: the report can be made from it, and a study
 * that goes on elsewhere adds its lines to those that are there.
 */
import { appendFile, readFile } from 'node:fs/promises';
import { invalid } from '#errors/errors.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { version } from '#telemetry/version.js';
import { type MeasuredRun, metricNames } from './measured-run.js';

/** A finished run: what the report reads, and what else tells where the numbers are from. */
export interface StudyLine extends MeasuredRun {
  readonly study: string;
  /** Tells apart runs of one name, which were made in different stores. */
  readonly uid: string;
  /** Of the command that wrote the line. */
  readonly version: string;
  /** Values of the last epoch by metric, beside the curves that the report reads. */
  readonly last: Readonly<Record<string, number>>;
  /** RunSpec as protobuf's JSON: everything that the run was asked for. */
  readonly spec: unknown;
}

export function lineOf(study: string, { uid, spec }: Run, measured: MeasuredRun): StudyLine {
  const epochs = measured.curves.train_loss?.length ?? 0;
  const last = metricNames.flatMap((metric) => {
    const value = measured.curves[metric]?.[epochs - 1];
    return value === undefined ? [] : [[metric, value] as const];
  });
  const { curves, ...rest } = measured;
  return { study, ...rest, last: Object.fromEntries(last), uid, version, spec: spec && RunSpec.toJSON(spec), curves };
}

/** No lines if there is no such file. @throws InvalidArgument for a file that has something else in it */
export async function readLines(option: string, path: string): Promise<StudyLine[]> {
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return '';
    throw invalid(option, path, `a file that can be read: ${cause.message}`);
  });
  return text.split('\n').flatMap((line, k) => (line === '' ? [] : [parsed(line, option, `${path}:${k + 1}`)]));
}

/** @throws InvalidArgument */
export async function appendLine(option: string, path: string, line: StudyLine): Promise<void> {
  await appendFile(path, `${JSON.stringify(line)}\n`).catch((cause: Error) => {
    throw invalid(option, path, `a file that can be written: ${cause.message}`);
  });
}

/** Whether a line says what this one would: of the same run, or of its repetition with the same options where the same bits come out. */
export const isSameRun = (one: StudyLine, other: StudyLine): boolean =>
  one.uid === other.uid ||
  (one.run === other.run && one.fingerprint === other.fingerprint && JSON.stringify(one.spec) === JSON.stringify(other.spec));

/** What a reader must know of lines that were not all made by one file of a study, as sentences. */
export function lineNotes(lines: readonly StudyLine[]): string[] {
  const options = new Map<string, Set<string>>();
  for (const { arm, spec } of lines) {
    const { seed: _, ...same } = (spec ?? {}) as { readonly seed?: unknown };
    options.set(arm, (options.get(arm) ?? new Set()).add(JSON.stringify(same)));
  }
  const mixed = [...options].filter(([, specs]) => specs.size > 1).map(([arm]) => arm);
  return mixed.length > 0 ? [`Runs of one arm have different options in: ${mixed.join(', ')}.`] : [];
}

function parsed(text: string, option: string, where: string): StudyLine {
  let line: Partial<StudyLine> | undefined;
  try {
    line = JSON.parse(text) as Partial<StudyLine>;
  } catch (cause) {
    throw invalid(option, where, `a JSON object: ${(cause as Error).message}`);
  }
  const { study, run, arm, seed, state, uid, totalSteps, fingerprint, curves } = line ?? {};
  const texts = [study, run, arm, seed, state, uid, fingerprint].every((one) => typeof one === 'string');
  if (
    !texts ||
    typeof totalSteps !== 'number' ||
    typeof curves !== 'object' ||
    curves === null ||
    !Object.values(curves).every(Array.isArray)
  )
    throw invalid(option, where, 'a line of `study evaluate --lines`');
  return {
    ...(line as StudyLine),
    curves: Object.fromEntries(Object.entries(curves).map(([metric, values]) => [metric, values.map(orUndefined)])),
  };
}

/** JSON has null for what was not measured. */
const orUndefined = (value: number | null | undefined): number | undefined => value ?? undefined;
