/**
 * `npm run docs:generate` writes everything in docs/ and in the chart that follows from the sources; `npm run docs:generate -- --check` compares instead,
 * prints what differs and exits with 1. Both are deterministic and need no network.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openApiText } from '../../services/gateway/openapi/document.js';
import { readProtos as readDescribedProtos } from '../../services/gateway/protos.js';
import { chart, chartCopies, chartFiles, chartValueTable } from './chart.js';
import { commandTable, exitCodeTable } from './command-line.js';
import { fillFragments } from './fragments.js';
import { metricsPage } from './metrics.js';
import { permissionsPage } from './permissions.js';
import { readProtos } from './proto-image.js';
import { referencePages } from './rpc-reference.js';
import { serviceOptionsPage } from './service-options.js';
import { trainOptionTable } from './train-options.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const reference = 'docs/reference';
/** Pages written by people that hold generated fragments between markers. */
const pagesWithFragments = [
  'README.md',
  'docs/clients.md',
  'docs/command-line.md',
  'docs/http.md',
  'docs/training.md',
  `${chart}/README.md`,
];

const read = (path: string): string => readFileSync(join(root, path), 'utf8');

function example(name: string): string[] {
  const languages: Readonly<Record<string, string>> = { py: 'python', ts: 'ts', sh: 'sh' };
  return [`\`\`\`${languages[name.slice(name.lastIndexOf('.') + 1)] ?? ''}`, ...read(`docs/examples/${name}`).trimEnd().split('\n'), '```'];
}

/** What every generated file must hold, by path. */
async function generate(): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const [name, text] of referencePages(await readProtos(root))) files.set(`${reference}/${name}`, text);
  files.set(`${reference}/service-options.md`, serviceOptionsPage());
  files.set(`${reference}/metrics.md`, await metricsPage());
  files.set(`${reference}/permissions.md`, permissionsPage());
  files.set(`${reference}/openapi.json`, openApiText(readDescribedProtos()));
  for (const [path, text] of chartFiles(root)) files.set(path, text);
  const fragments = new Map<string, readonly string[]>([
    ['options of train', trainOptionTable()],
    ['commands', commandTable()],
    ['exit codes', exitCodeTable()],
    ['values of the chart', chartValueTable(root)],
    ...readdirSync(join(root, 'docs/examples')).map((name) => [`example ${name}`, example(name)] as const),
  ]);
  const used = new Set<string>();
  for (const page of pagesWithFragments) files.set(page, fillFragments(page, read(page), fragments, used));
  for (const name of fragments.keys()) if (!used.has(name)) throw new Error(`no page quotes the fragment "${name}"`);
  return files;
}

const check = process.argv.includes('--check');
const files = await generate();
const stale: string[] = [];
for (const [path, text] of files) {
  const full = join(root, path);
  const now = (() => {
    try {
      return readFileSync(full, 'utf8');
    } catch {
      return undefined;
    }
  })();
  if (now === text) continue;
  stale.push(`${path}${now === undefined ? ' is missing' : `: line ${firstDifference(now, text)}`}`);
  if (check) continue;
  mkdirSync(dirname(full), { recursive: true });
  writeFileSync(full, text);
}
for (const folder of [reference, ...chartCopies])
  for (const name of readdirSync(join(root, folder))) {
    if (files.has(`${folder}/${name}`)) continue;
    stale.push(`${folder}/${name} is generated from nothing`);
    if (!check) rmSync(join(root, folder, name));
  }
if (!check) console.log(stale.length === 0 ? 'nothing has changed' : stale.map((line) => `wrote ${line}`).join('\n'));
else if (stale.length > 0) {
  console.error(`These files are not what the sources say:\n  ${stale.join('\n  ')}\nRun \`npm run docs:generate\` and commit the result.`);
  process.exitCode = 1;
}

function firstDifference(now: string, wanted: string): number {
  const lines = now.split('\n');
  const differs = wanted.split('\n').findIndex((line, i) => line !== lines[i]);
  return differs < 0 ? wanted.split('\n').length + 1 : differs + 1;
}
