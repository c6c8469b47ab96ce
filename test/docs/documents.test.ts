import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { exitCodeMeanings } from './exit-codes.js';
import { createProgram } from './main.js';
import { optionTable } from './option-table.js';

const root = new URL('../../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const documents = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'NOTICE'];

/** UPDATE_README=1 writes the table instead of comparing it. */
test("README's options are those of the table", () => {
  const readme = read('README.md');
  const lines = readme.split('\n');
  const first = lines.indexOf('| group | option | default | meaning |');
  const length = lines.slice(first).findIndex((line) => !line.startsWith('|'));
  assert.ok(first > 0 && length > 0);
  if (process.env.UPDATE_README) {
    lines.splice(first, length, ...optionTable());
    writeFileSync(new URL('README.md', root), lines.join('\n'));
    return;
  }
  assert.deepEqual(lines.slice(first, first + length), optionTable());
});

test("README's exit codes are those of the table", () => {
  const readme = read('README.md');
  for (const [code, meaning] of exitCodeMeanings) assert.ok(readme.includes(`| ${code} | ${meaning} |`), String(code));
});

test('README quotes the examples as they are', () => {
  for (const name of readdirSync(new URL('docs/examples/', root))) {
    assert.ok(read('README.md').includes(read(`docs/examples/${name}`).trimEnd()), name);
  }
});

test('README names every command', () => {
  const terminal = { out() {}, err() {}, status() {}, interactive: false, color: false, columns: 80 };
  const program = createProgram({ terminal, env: {}, cwd: '.', signal: new AbortController().signal });
  const readme = read('README.md');
  for (const command of program.commands) {
    const row = readme.split('\n').find((line) => line.startsWith(`| \`${command.name()}`));
    assert.ok(row, command.name());
    for (const sub of command.commands) assert.ok(row.includes(`\`${sub.name()}\``), `${command.name()} ${sub.name()}`);
  }
});

test('files that documents link to exist', () => {
  for (const document of documents) {
    for (const [, target = ''] of read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g)) {
      assert.doesNotThrow(() => readdirOrFile(target), `${document}: ${target}`);
    }
  }
});

function readdirOrFile(path: string): void {
  try {
    readFileSync(new URL(path, root));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EISDIR') throw error;
  }
}
