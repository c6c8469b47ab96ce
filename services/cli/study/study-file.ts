/** The file of a study: arms, which are sets of options of `train`, and seeds. YAML, of which JSON is a part. */
import { parse, YAMLParseError } from 'yaml';
import { invalid, Violations } from '#errors/errors.js';
import { isExplainedOption, trainOptions } from '#spec/train-options.js';
import { type GivenOptions, type TrainRequest, trainRequest } from '../train-spec.js';

export interface Arm {
  readonly name: string;
  /** Those of all arms, and the arm's own instead of or besides them. */
  readonly options: GivenOptions;
}

export interface Study {
  readonly name: string;
  readonly arms: readonly Arm[];
  readonly seeds: readonly bigint[];
  /** The arm that all others are compared with. */
  readonly baseline: string;
  /** Largest number of runs that have been created and have not ended; undefined: all at once. */
  readonly inFlight: number | undefined;
  /** Whether the failure of one run ends the other runs of its arm. */
  readonly stopFailedArms: boolean;
}

export interface PlannedRun {
  /** Id of the run, which follows from study, arm and seed: whoever creates the study again means the same run. */
  readonly id: string;
  readonly arm: string;
  readonly seed: bigint;
  readonly labels: Readonly<Record<string, string>>;
  readonly request: TrainRequest;
}

const keys = ['study', 'options', 'arms', 'seeds', 'baseline', 'in_flight', 'stop_failed_arms'];
const namePattern = /^[a-z][a-z0-9-]*$/;
const nameRule = 'characters of a-z, 0-9 and "-", beginning with a letter';
const MAX_RUNS = 1000;
/** Length of an id of a run: STUDY-ARM-SEED. */
const MAX_ID = 63;
/** What each run has for itself, or what does not belong to a training in the background. */
const ownOptions = ['seed', 'output_dir', 'log_dir', 'auto_resume', 'eval', 'resume'];

/** @throws InvalidArgument naming everything that is wrong */
export function readStudy(text: string): Study {
  const file = parsed(text);
  const violations = new Violations();
  for (const key of Object.keys(file)) if (!keys.includes(key)) violations.add(key, '', `left out; a study has ${keys.join(', ')}`);
  const name = typeof file.study === 'string' ? file.study : '';
  if (!namePattern.test(name)) violations.add('study', name, nameRule);
  const common = optionsIn('options', file.options ?? {}, violations);
  const arms: Arm[] = [];
  for (const [arm, own] of Object.entries(record(file.arms) ?? {})) {
    if (!namePattern.test(arm)) violations.add('arms', arm, nameRule);
    arms.push({ name: arm, options: { ...common, ...optionsIn(`arms.${arm}`, own ?? {}, violations) } });
  }
  if (arms.length === 0) violations.add('arms', '', 'one name for each arm, with the options of `train` that only this arm has');
  const seeds = seedsIn(file.seeds, violations);
  const baseline = file.baseline === undefined ? (arms[0]?.name ?? '') : String(file.baseline);
  if (arms.length > 0 && !arms.some((arm) => arm.name === baseline)) violations.add('baseline', baseline, 'the name of an arm');
  const inFlight = file.in_flight;
  if (inFlight !== undefined && !(Number.isInteger(inFlight) && Number(inFlight) >= 1))
    violations.add('in_flight', String(inFlight), 'a whole number from 1 on');
  const stop = file.stop_failed_arms ?? true;
  if (typeof stop !== 'boolean') violations.add('stop_failed_arms', String(stop), 'true or false');
  if (arms.length * seeds.length > MAX_RUNS)
    violations.add('seeds', `${seeds.length} for ${arms.length} arms`, `at most ${MAX_RUNS} runs in all`);
  const longest = arms.flatMap((arm) => seeds.map((seed) => runId(name, arm.name, seed))).find((id) => id.length > MAX_ID);
  if (longest !== undefined) violations.add('study', name, `short enough for ids of runs with ${MAX_ID} characters, such as ${longest}`);
  violations.throwIfAny();
  return { name, arms, seeds, baseline, inFlight: inFlight as number | undefined, stopFailedArms: stop as boolean };
}

/** The runs of a study, seed by seed, so that pairs are complete as early as possible. @throws InvalidArgument for options that `train` refuses */
export function runsOf(study: Study): PlannedRun[] {
  return study.seeds.flatMap((seed) =>
    study.arms.map(({ name: arm, options }) => ({
      id: runId(study.name, arm, seed),
      arm,
      seed,
      labels: { study: study.name, arm, seed: String(seed) },
      request: trainRequest({ ...options, seed: String(seed) }),
    })),
  );
}

const runId = (study: string, arm: string, seed: bigint): string => `${study}-${arm}-${seed}`;

function parsed(text: string): Record<string, unknown> {
  try {
    const file = record(parse(text, { maxAliasCount: 0 }));
    if (file) return file;
  } catch (error) {
    if (!(error instanceof YAMLParseError) && !(error instanceof ReferenceError)) throw error;
    throw invalid('file', '', `YAML: ${error.message.split('\n')[0]}`);
  }
  throw invalid('file', '', `YAML with the keys ${keys.join(', ')}`);
}

const record = (value: unknown): Record<string, unknown> | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;

/** Options as the command line would give them. What their values may be is checked where the command line's are. */
function optionsIn(where: string, given: unknown, violations: Violations): GivenOptions {
  const options = record(given);
  if (!options) violations.add(where, String(given), 'options of `train`, each with its value');
  const texts: Record<string, string | string[]> = {};
  for (const [key, value] of Object.entries(options ?? {})) {
    const name = key.replaceAll('-', '_');
    const known = trainOptions.find((option) => option.name === name);
    if (!known || isExplainedOption(known)) violations.add(`${where}.${key}`, String(value), 'left out: `train` has no such option');
    else if (ownOptions.includes(name)) violations.add(`${where}.${key}`, String(value), 'left out: a study says it for its runs');
    else if (value === null || record(value)) violations.add(`${where}.${key}`, '', 'a value');
    else texts[name] = Array.isArray(value) ? value.map(String) : String(value);
  }
  return texts;
}

/** A list of seeds, or how many there are: 3 is [1, 2, 3]. */
function seedsIn(given: unknown, violations: Violations): bigint[] {
  const list =
    typeof given === 'number' && Number.isInteger(given) && given <= MAX_RUNS
      ? Array.from({ length: Math.max(0, given) }, (_, k) => k + 1)
      : given;
  const whole = (seed: unknown) => typeof seed === 'number' && Number.isSafeInteger(seed) && seed >= 0;
  if (Array.isArray(list) && list.length > 0 && list.every(whole) && new Set(list).size === list.length) return list.map(BigInt);
  violations.add('seeds', given === undefined ? '' : String(given), 'different whole numbers from 0 on, or how many seeds there are');
  return [];
}
