// The budgets of .ci/run's steps, from .ci/budgets.
//   node scripts/ci-budgets.mjs            ends with 1 where CONTRIBUTING.md shows another table
//   node scripts/ci-budgets.mjs --write    puts the table into CONTRIBUTING.md, between the marker and the end of the table
//   node scripts/ci-budgets.mjs --counts FILE   the closing line of all tests, from the lines that scripts/run-tests.mjs left in FILE
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './test-suites.mjs';

const MARKER = '<!-- ci budgets -->';
/** 60 minutes for everything; what the steps leave is for those to come. */
const TOTAL_SECONDS = 3600;
const minutes = (seconds) => `${Math.round(seconds / 6) / 10} min`;

function table() {
  const rows = readFileSync(join(root, '.ci', 'budgets'), 'utf8')
    .split('\n')
    .flatMap((line) => /^(?<name>[^#\s]\S*) (?<seconds>\d+) (?<what>.+)$/.exec(line)?.groups ?? []);
  const sum = rows.reduce((total, { seconds }) => total + Number(seconds), 0);
  if (sum > TOTAL_SECONDS)
    throw new Error(`.ci/budgets: the budgets of all steps add up to ${minutes(sum)}, must be at most ${minutes(TOTAL_SECONDS)}`);
  return [
    '| step of .ci/run | may take | what it does |',
    '|---|---|---|',
    ...rows.map(({ name, seconds, what }) => `| \`${name}\` | ${minutes(Number(seconds))} | ${what} |`),
    `| all | ${minutes(sum)} of ${minutes(TOTAL_SECONDS)} | |`,
  ].join('\n');
}

function counts(file) {
  const runs = existsSync(file)
    ? readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
    : [];
  const sum = (name) => runs.reduce((total, run) => total + run[name], 0);
  return `${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped`;
}

const [mode, file] = process.argv.slice(2);
if (mode === '--counts') console.log(counts(file));
else {
  const path = join(root, 'CONTRIBUTING.md');
  const text = readFileSync(path, 'utf8');
  const at = text.indexOf(MARKER);
  if (at < 0) throw new Error(`CONTRIBUTING.md: ${MARKER} is missing`);
  const after = text.slice(at + MARKER.length).replace(/^\s*(\|.*\n)*/, '');
  const wanted = `${text.slice(0, at)}${MARKER}\n\n${table()}\n${after === '' ? '' : `\n${after}`}`;
  if (mode === '--write') writeFileSync(path, wanted);
  else if (wanted !== text) {
    console.error('the budgets in CONTRIBUTING.md differ from .ci/budgets: run node scripts/ci-budgets.mjs --write');
    process.exitCode = 1;
  }
}
