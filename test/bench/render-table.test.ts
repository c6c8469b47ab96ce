import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { putTables, renderTables, type TableLine } from './render-table.js';
import { tableRows } from './table-rows.js';
import { trainingCase } from './training-case.js';

const line = (row: string, ratio: number | null, more: Partial<TableLine> = {}): TableLine => ({
  row,
  round: 1,
  processor: 'a processor',
  threads: 2,
  isa: 'avx2',
  img_per_s: 40,
  step_ms: 800,
  disturbed: false,
  breakdown: { finish: 4, kernels: { products: 500, attention: 200 } },
  peak_bytes: 100 * 2 ** 20,
  gflops: 300,
  fraction_of_peak: 0.66,
  ratio,
  memory_ratio: 0.4,
  peer_config:
    ratio === null
      ? null
      : { dtype: 'bf16pure', compile: 1, fusedAttention: 0, img_per_s: 40 / ratio, peak_bytes: 250 * 2 ** 20, version: 'torch 9' },
  ...more,
});
const cellsOf = (table: string, name: string) =>
  table
    .split('\n')
    .find((text) => text.startsWith(`| ${name} |`))
    ?.split('|')
    .map((cell) => cell.trim());

test('every row is a case that bench:train takes', () => {
  for (const { args } of tableRows) trainingCase([...args]);
  assert.equal(new Set(tableRows.map(({ name }) => name)).size, tableRows.length);
});

test('a row has the median of its runs, their spread, and whether it reaches its bar', () => {
  const table = renderTables(tableRows, [line('vit_tiny bf16', 1.25), line('vit_tiny bf16', 1.3), line('vit_tiny bf16', 1.6)]);
  const cells = cellsOf(table, 'vit_tiny bf16');
  assert.deepEqual(cells?.slice(2, 7), [
    '40 (40 to 40)',
    '30.8 (25 to 32): bf16pure, compiled, plain attention',
    '1.3 (1.25 to 1.6) ✓',
    '1.25',
    '1.4',
  ]);
  assert.deepEqual(cells?.slice(8, 12), ['66 %', '100', '250', '3']);
  assert.match(renderTables(tableRows, [line('vit_tiny fp32', 1.19)]), /1\.19 ✗/);
  assert.match(table, /a processor, 2 threads, avx2; torch 9/);
});

test('disturbed runs count only where there is no other', () => {
  const mixed = [line('vit_tiny bf16', 3, { disturbed: true }), line('vit_tiny bf16', 1.3)];
  assert.deepEqual(cellsOf(renderTables(tableRows, mixed), 'vit_tiny bf16')?.slice(4, 5), ['1.3 ✓']);
  assert.match(renderTables(tableRows, mixed.slice(0, 1)), /1, disturbed/);
});

test('without a peer there is neither ratio nor verdict', () => {
  const cells = cellsOf(renderTables(tableRows, [line('vit_base bf16, batch 8', null)]), 'vit_base bf16, batch 8');
  assert.deepEqual(cells?.slice(3, 7), ['–', '–', '', '']);
});

test('the time of every group of kernels stands beside the step, and what stochastic depth gains below', () => {
  const lines = [line('vit_tiny bf16', 1.3), line('vit_tiny bf16, `--drop_path 0.5`', 1.6, { img_per_s: 52 })];
  const tables = renderTables(tableRows, lines);
  assert.match(tables, /\| milliseconds \| step \| finish \| products \| attention \|/);
  assert.match(tables, /\| vit_tiny bf16 \| 800 \| 4 \| 500 \| 200 \|/);
  assert.match(tables, /is 1\.3 times as fast as with 0/);
});

test('the tables go between the marks of docs/performance.md, again and again', () => {
  const document = readFileSync(new URL('../../docs/performance.md', import.meta.url), 'utf8');
  const once = putTables(document, 'TABLES');
  assert.match(once, /\n\nTABLES\n\n/);
  assert.equal(putTables(putTables(document, 'OTHER'), 'TABLES'), once);
  assert.throws(() => putTables('no marks', 'TABLES'), /needs the lines/);
});
