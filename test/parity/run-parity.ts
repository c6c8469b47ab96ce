/** Runs every fixture of a folder and counts: a case passes, fails, or is skipped with a reason that is printed. */
import { compile } from '#engine/index.js';
import { describeCheck, passes, worstOf } from '../support/checks.js';
import { withoutExecutor } from '../support/executors.js';
import { FixtureFolder } from '../support/fixture-folder.js';
import type { Engine } from '../support/golden-model.js';
import { ImageSet } from '../support/image-set.js';
import { groupNames, sources } from './groups/index.js';
import type { ParityCase, ParityContext } from './parity-case.js';

export interface ParityOptions {
  fixtures: string;
  engine: Engine;
  /** Group names; undefined: all. */
  only?: readonly string[] | undefined;
  /** Tars of images and folders with them, in the order they are searched in. */
  images: readonly string[];
  print: (line: string) => void;
}

export interface ParityCounts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Files that say something about the fixtures and hold none. */
const documentation = /(^|\/)precision_[^/]*\.json$/;
const isFixture = (file: string) => /\.(json|safetensors)$/.test(file) && !documentation.test(file);

export async function runParity({ fixtures, engine, only, images, print }: ParityOptions): Promise<ParityCounts> {
  const folder = new FixtureFolder(fixtures);
  const context: ParityContext = { folder, engine, images: new ImageSet(images), engineMissing: await engineMissing(engine) };
  const counts: ParityCounts = { passed: 0, failed: 0, skipped: 0 };
  const report = (name: string, outcome: Outcome) => {
    counts[outcome.kind]++;
    print(`${{ passed: 'pass', failed: 'FAIL', skipped: 'skip' }[outcome.kind]}  ${name}  ${outcome.text}`);
  };
  const wanted = sources.filter(({ group }) => only === undefined || only.includes(group));
  const files = listFiles(folder);
  for (const group of groupNames.filter((name) => only === undefined || only.includes(name))) {
    const found = wanted
      .filter((source) => source.group === group)
      .flatMap((source) => files.filter((file) => source.file.test(file)).map((file) => ({ source, file })));
    if (found.length === 0) report(group, absent(group, only !== undefined));
    for (const { source, file } of found) {
      for (const one of casesOf(file, () => source.cases(file, context))) report(one.name, await outcomeOf(one));
    }
  }
  for (const file of files.filter(isFixture)) {
    const why = unclaimed(file, files);
    if (why !== undefined && only === undefined) report(file, { kind: 'failed', text: why });
  }
  if (counts.passed + counts.failed === 0) report(fixtures, { kind: 'failed', text: 'nothing in this folder was compared' });
  return counts;
}

interface Outcome {
  kind: keyof ParityCounts;
  text: string;
}

const messageOf = (error: unknown) => (error instanceof Error ? `${error.name}: ${error.message}` : String(error));

function listFiles(folder: FixtureFolder): string[] {
  try {
    return folder.files();
  } catch (error) {
    throw new Error(`fixtures: ${folder.root} cannot be read`, { cause: error });
  }
}

/** A group that was asked for by name must be there; of all of them, a folder may hold a part. */
function absent(group: string, asked: boolean): Outcome {
  return { kind: asked ? 'failed' : 'skipped', text: `this folder has no fixtures of group ${group}` };
}

function casesOf(file: string, make: () => ParityCase[]): ParityCase[] {
  const failing = (error: unknown): ParityCase[] => [{ name: file, run: () => Promise.reject(error) }];
  try {
    const cases = make();
    return cases.length > 0 ? cases : failing(new Error('no case in this file'));
  } catch (error) {
    return failing(error);
  }
}

async function outcomeOf(one: ParityCase): Promise<Outcome> {
  if ('skip' in one) {
    return one.skip === '' ? { kind: 'failed', text: 'skipped without a reason' } : { kind: 'skipped', text: one.skip };
  }
  try {
    const checks = await one.run();
    const worst = worstOf(checks);
    const number = (value: number) => (value === 0 ? '0' : value.toExponential(2));
    const text = `largest error ${number(worst.error)}, tolerance ${number(worst.tolerance)}, ${worst.what}, ${checks.length} checks`;
    const failed = checks.filter((check) => !passes(check));
    if (failed.length === 0) return { kind: 'passed', text };
    const others = failed.length > 1 ? `, and ${failed.length - 1} more` : '';
    return { kind: 'failed', text: `${text}; ${describeCheck(failed[0]!)}${others}` };
  } catch (error) {
    return { kind: 'failed', text: messageOf(error) };
  }
}

/** Why a fixture file belongs to no case, if so. */
function unclaimed(file: string, files: readonly string[]): string | undefined {
  if (sources.some((source) => source.file.test(file))) return undefined;
  for (const source of sources) {
    const owner = source.companionOf?.(file);
    if (owner === undefined) continue;
    const there = owner.includes('*') ? files.some((name) => source.file.test(name)) : files.includes(owner);
    return there ? undefined : `it belongs to ${owner}, which is not there`;
  }
  return 'no group knows this file';
}

async function engineMissing({ executor, precision }: Engine): Promise<string | undefined> {
  const missing = withoutExecutor(executor);
  if (missing) return missing;
  try {
    const program = await compile('vit_nano_p7', { imageSize: 28, classes: 10, batch: 1 }, { executor, precision });
    program.dispose();
    return undefined;
  } catch (error) {
    if (precision !== 'fp32' && error instanceof RangeError && error.message.startsWith('precision')) return error.message;
    throw error;
  }
}
