/** npm run bench:table: measures the rows of docs/performance.md in rounds, keeps every line, and writes the tables from all that is kept. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { putTables, renderTables, type TableLine } from './render-table.js';
import { compareRows } from './table-beside.js';
import { type TableRow, tableRows } from './table-rows.js';
import { runTrainBench } from './train-process.js';
import { countOf, UsageError } from './training-case.js';

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const [document, results] = [at('../../docs/performance.md'), at('../../docs/performance.jsonl')];

const usage = `npm run bench:table -- [options]

  --rounds N       runs of every row, one round of all rows after the other (default 3)
  --row TEXT       only the row of this name, or those whose name contains it; may be given several times
  --seconds N      --seconds of bench:train (default its own)
  --beside FOLDER  measure the rows here and in another clone in turns, without PyTorch, and print the ratios; nothing is kept
  --render         measure nothing, write the tables from what is kept
  --list           the rows

Every run is a process of its own. Its line is kept in docs/performance.jsonl at once, so that a long measurement can be stopped and continued;
delete the file to start over. A round of all rows takes about three quarters of an hour, the first one longer: PyTorch's configurations are
tried once per case. Nothing else should run meanwhile.`;

/** The last line that bench:train prints, as its output goes by. */
async function measure(row: TableRow, round: number, seconds: string | undefined): Promise<TableLine> {
  const args = [...row.args, ...(seconds === undefined ? [] : ['--seconds', seconds])];
  const line = await runTrainBench(at('../..'), args, (text) => process.stdout.write(text));
  return { row: row.name, round, ...(line as Omit<TableLine, 'row' | 'round'>) };
}

function keptLines(): TableLine[] {
  if (!existsSync(results)) return [];
  const lines = readFileSync(results, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as TableLine);
}

async function table(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      rounds: { type: 'string' },
      row: { type: 'string', multiple: true },
      seconds: { type: 'string' },
      beside: { type: 'string' },
      render: { type: 'boolean' },
      list: { type: 'boolean' },
    },
  });
  const named = (text: string) => {
    const whole = tableRows.filter(({ name }) => name === text);
    return whole.length > 0 ? whole : tableRows.filter(({ name }) => name.includes(text));
  };
  const chosen = values.row?.flatMap(named) ?? tableRows;
  const wanted = tableRows.filter((row) => chosen.includes(row));
  if (wanted.length === 0) throw new UsageError(`--row: none of the rows contains ${values.row?.join(' or ')}`);
  if (values.list) return console.log(wanted.map(({ name, args }) => `${name}: ${args.join(' ')}`).join('\n'));
  if (values.beside !== undefined) return compareRows(wanted, values.beside, countOf('rounds', values.rounds ?? '3'), values.seconds);
  const rounds = values.render ? 0 : countOf('rounds', values.rounds ?? '3');
  const before = Math.max(0, ...keptLines().map(({ round }) => round));
  for (let round = 1; round <= rounds; round++) {
    for (const row of wanted) {
      console.log(`\nround ${round} of ${rounds}: ${row.name}`);
      appendFileSync(results, `${JSON.stringify(await measure(row, before + round, values.seconds))}\n`);
    }
  }
  writeFileSync(document, putTables(readFileSync(document, 'utf8'), renderTables(tableRows, keptLines())));
  console.log(`\nwritten: docs/performance.md`);
}

try {
  const args = process.argv.slice(2);
  if (args.includes('--help')) console.log(usage);
  else await table(args);
} catch (error) {
  const wrongOption = (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS');
  if (!(error instanceof UsageError) && !wrongOption) throw error;
  console.error(`bench:table: ${(error as Error).message}\n\n${usage}`);
  process.exitCode = 2;
}
