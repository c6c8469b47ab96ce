/** Reports and comparisons of runs that real services trained: the command line writes the file, and Chromium opens it. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { reportPage } from '../../services/cli/report/report-file.js';
import { accessibilityProblems, browserTests, openPage, type PageOptions } from '../support/browser.js';
import { type ConsoleSystem, startConsoleSystem } from '../support/console.js';
import { runCommandLine } from '../support/run-command-line.js';
import { until } from '../support/until.js';

let system: ConsoleSystem;
let folder: string | undefined;
const { inBrowser } = browserTests({
  start: async () => {
    folder = await mkdtemp(join(tmpdir(), 'dropstream-reports-'));
    system = await startConsoleSystem();
    await system.createRun('early', { seed: 1n }, { study: 'modes', arm: 'early', seed: '1' });
    await system.createRun(
      'late',
      { seed: 1n, dropMode: DropMode.LATE, dropSchedule: DropSchedule.CONSTANT, cutoffEpoch: 1 },
      { study: 'modes', arm: 'late', seed: '1', team: 'vision' },
    );
    for (const id of ['early', 'late']) {
      const { code, err } = await dropstream('runs', 'watch', id);
      assert.equal(code, 0, err);
    }
  },
  stop: async () => {
    await system?.stop();
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  },
});

const dropstream = (...argv: string[]) =>
  runCommandLine([...argv, '--trainer', system.of('trainer').address], { cwd: folder!, timeoutMs: 120_000 });

/** Opens a file, from which the page may fetch nothing. */
async function openFile(
  browser: Browser,
  name: string,
  options: PageOptions = {},
  hash = '',
): Promise<{ page: Page; faults: () => string[] }> {
  const { page, complaints } = await openPage(browser, options);
  const asked: string[] = [];
  page.on('request', (request) => {
    if (!request.url().startsWith('data:')) asked.push(request.url());
  });
  const url = `${pathToFileURL(join(folder!, name)).href}${hash}`;
  await page.goto(url);
  return { page, faults: () => [...complaints, ...asked.filter((one) => one !== url)] };
}

inBrowser('a report of one run has the views of the console, and fetches nothing', async (browser) => {
  const { code, out, err } = await dropstream('runs', 'report', 'early', '--out', 'one.html', '--title', 'A <first> look');
  assert.equal(code, 0, err);
  assert.match(out, /^wrote .*one\.html \(file:/);
  const { page, faults } = await openFile(browser, 'one.html');
  await page.getByRole('heading', { name: 'A <first> look', level: 1 }).waitFor();
  await page.getByRole('heading', { name: 'early', level: 2 }).waitFor();
  for (const title of ['Training loss', 'Drop rate', 'Learning rate', 'Top-1 of checkpoints'])
    await page.locator('.chart', { hasText: title }).locator('.chart-values', { hasText: /\d/ }).waitFor();
  await page.getByText('The training is complete.').waitFor();
  await page.getByRole('heading', { name: 'Accuracy by class' }).waitFor();
  await page.getByRole('rowheader', { name: 'drop_mode' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Use' }).count(), 0, 'a file cannot evaluate anything');
  await page.getByRole('group', { name: 'Chart: Training loss' }).focus();
  await page.keyboard.press('+');
  const reset = page.getByRole('button', { name: 'Show everything' });
  await until('a zoom by the keyboard', async () => await reset.isEnabled(), { looks: 100, pauseMs: 100 });
  await page.getByLabel('Values').selectOption('epoch');
  assert.deepEqual(faults(), []);
  await page.close();
});

inBrowser('a report of several runs compares them and has each of them', async (browser) => {
  const { code, err } = await dropstream('runs', 'report', 'early', 'late', '--out', 'two.html');
  assert.equal(code, 0, err);
  const { page, faults } = await openFile(browser, 'two.html');
  await page.getByRole('heading', { name: 'early, late' }).waitFor();
  await page.getByRole('row', { name: /drop_mode early late/ }).waitFor();
  await page.getByRole('navigation').getByRole('link', { name: 'late' }).click();
  await page.getByRole('heading', { name: 'late', level: 1 }).waitFor();
  await page.getByText('team=vision').waitFor();
  await page.getByRole('navigation').getByRole('link', { name: 'Compared' }).click();
  await page.getByRole('heading', { name: 'Options that differ' }).waitFor();
  assert.deepEqual(faults(), []);
  await page.close();
  for (const options of [{}, { dark: true }, { width: 320, height: 700 }, { width: 3840, height: 2000 }])
    for (const hash of ['', '#/projects/default/runs/late']) {
      const opened = await openFile(browser, 'two.html', options, hash);
      await opened.page.locator('.chart canvas').first().waitFor();
      assert.deepEqual(await accessibilityProblems(opened.page), [], JSON.stringify(options));
      assert.equal(await opened.page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, JSON.stringify(options));
      if (process.env.DROPSTREAM_SCREENSHOTS !== undefined) {
        const name = `report-${options.width ?? 1440}${options.dark ? '-dark' : ''}${hash === '' ? '' : '-run'}.png`;
        await opened.page.screenshot({ path: join(process.env.DROPSTREAM_SCREENSHOTS, name), fullPage: true });
      }
      await opened.page.close();
    }
});

inBrowser('the members of a run have their leaves, and what happened to it has marks and words', async (browser) => {
  const event = (sequence: number, body: object) => ({ sequence: String(sequence), time: '2026-11-30T10:00:00Z', ...body });
  const steps = Array.from({ length: 30 }, (_, step) => ({ step: String(step), loss: step === 20 ? 'NaN' : 2 - step / 30 }));
  const members = [
    { worker: 'first', leaves: [0, 1, 2] },
    { worker: 'second', leaves: [3, 5] },
  ];
  const events = [
    event(1, { created: { run: { spec: {}, dropSegments: [{ end: '15', startValue: 0.1 }] } } }),
    event(2, { claimed: { attempt: 1, worker: 'first' } }),
    event(3, { steps: { steps } }),
    event(4, { claimed: { attempt: 2, worker: 'first' } }),
    event(5, { resumed: { attempt: 2, fromStep: '30' } }),
    event(6, { group: { generation: 1, fromStep: '30', members, fingerprint: 'native/fp32' } }),
  ];
  const run = { name: 'projects/p/runs/group', uid: 'u', state: 'RUN_STATE_RUNNING', step: '30', totalSteps: '60', stepsPerEpoch: '10' };
  const series = {
    series: [{ metric: 'STEP_METRIC_LOSS', steps: steps.map((_, k) => k), values: steps.map(({ loss }) => loss) }],
    toStep: '30',
  };
  const page = (await reportPage())({
    ...{ title: 'A group', summary: '', made: '2026-11-30T10:00:00Z', facts: [], images: [], environment: [], commands: [] },
    runs: [{ run, events, series, evaluations: [], checkpoints: [] }],
  });
  await writeFile(join(folder!, 'group.html'), page);
  const opened = await openFile(browser, 'group.html');
  await opened.page.getByRole('row', { name: 'first leads 0–2 60 %' }).waitFor();
  await opened.page.getByRole('row', { name: 'second 3, 5 40 %' }).waitFor();
  for (const sign of ['resumed', 'failed, or a loss that is no number']) await opened.page.locator('.legend').getByText(sign).waitFor();
  assert.deepEqual(opened.faults(), []);
  await opened.page.close();
});

inBrowser("a study's page has a line and a row for each arm, and fetches nothing", async (browser) => {
  const { code, err } = await dropstream('study', 'report', 'modes', '--page', 'study.html', '--evaluator', system.of('evaluator').address);
  assert.equal(code, 0, err);
  for (const options of [{}, { dark: true }, { width: 320, height: 700 }]) {
    const { page, faults } = await openFile(browser, 'study.html', options);
    await page.getByRole('heading', { name: 'Study modes', level: 1 }).waitFor();
    const chart = page.locator('.chart', { hasText: 'train_loss' });
    await chart.locator('canvas').waitFor();
    await chart.locator('.chart-values', { hasText: /early [\d.]+.*late [\d.]+/ }).waitFor();
    await page
      .getByRole('row', { name: /^late − early/ })
      .first()
      .waitFor();
    assert.deepEqual(await accessibilityProblems(page), [], JSON.stringify(options));
    assert.equal(await page.evaluate('document.documentElement.scrollWidth <= innerWidth'), true, JSON.stringify(options));
    assert.deepEqual(faults(), []);
    await page.close();
  }
});

inBrowser('runs are compared in the terminal, and as JSON', async () => {
  const { code, out, err } = await dropstream('runs', 'compare', 'early', 'late');
  assert.equal(code, 0, err);
  assert.match(out, /^RUN +STATE +STEP +OF +TRAIN LOSS +BEST +EVAL LOSS +BEST +TOP-1 +BEST +IMAGES\/S$/m);
  assert.match(out, /^early +SUCCEEDED +(\d+) +\1( +[\d.,%]+)+/m);
  assert.match(out, /^drop_mode +early +late$/m);
  const { runs, differences } = JSON.parse((await dropstream('runs', 'compare', 'early', 'late', '--json')).out) as {
    runs: { run: string; top1: { last: number; best: number } }[];
    differences: { name: string; values: string[] }[];
  };
  assert.deepEqual(
    runs.map(({ run }) => run),
    ['early', 'late'],
  );
  assert.ok(runs.every(({ top1 }) => top1.best >= top1.last));
  assert.deepEqual(differences.find(({ name }) => name === 'drop_mode')?.values, ['early', 'late']);
  assert.equal((await dropstream('runs', 'compare', 'early')).code, 2);
  assert.notEqual((await dropstream('runs', 'compare', 'early', 'nobody')).code, 0);
});
