/** How the console looks and is used without a mouse: light and dark, narrow and wide, with the keyboard alone, and with less motion. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { accessibilityProblems, browserTests, openPage, type PageOptions, text } from '../support/browser.js';
import { type ConsoleSystem, startConsoleSystem } from '../support/console.js';
import { until } from '../support/until.js';

let system: ConsoleSystem;
const { inBrowser, shown } = browserTests({
  start: async () => {
    system = await startConsoleSystem();
    await system.createRun('early-1', { seed: 1n, epochs: 6 }, { arm: 'early' });
    await system.createRun('early-2', { seed: 2n, epochs: 6 }, { arm: 'early' });
    const late = { dropMode: DropMode.LATE, dropSchedule: DropSchedule.CONSTANT, cutoffEpoch: 3 };
    await system.createRun('late-1', { seed: 1n, epochs: 6, ...late }, { arm: 'late' });
    const scheduler = connect(SchedulerServiceClient, system.of('scheduler').address);
    const trainer = connect(TrainerServiceClient, system.of('trainer').address);
    const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 50 };
    try {
      const { schedule } = await scheduler.createSchedule({ parent: 'projects/default', scheduleId: 'warm', spec }, { timeoutMs: 30_000 });
      await scheduler.updateSchedule({ name: schedule!.name, spec: { ...spec, rate: 0.2 } }, { timeoutMs: 30_000 });
      // It waits behind the others, and is paused before a worker takes it.
      const followed = { dropout: undefined, dropMode: undefined, dropSchedule: undefined, cutoffEpoch: undefined };
      await system.createRun('follows', { ...followed, epochs: 100, schedule: schedule!.name, followSchedule: true } as object);
      await trainer.pauseRun({ name: 'projects/default/runs/follows' }, { timeoutMs: 30_000 });
    } finally {
      scheduler.close();
      trainer.close();
    }
  },
  stop: async () => await system?.stop(),
});

const open = (page: Page, path: string) => page.goto(`${system.url}/#/projects/default/${path}`);

/** Every page, and what shows that it has everything that it waits for. */
const pages: readonly (readonly [name: string, path: string, whole: string])[] = [
  ['runs', 'runs', '.spark path[d^="M"] >> nth=2'],
  ['run', 'runs/early-1', '.chart canvas >> nth=9'],
  ['new-run', 'new-run?like=early-1', 'text=The trainer would take it.'],
  ['schedules', 'schedules', '[role=slider]'],
  ['schedule', 'schedules/warm', '.follower'],
  ['data', 'data', '.images img >> nth=15'],
  ['compare', 'compare?runs=early-1,early-2,late-1', '.runs-legend li >> nth=2'],
  ['system', 'system', '.health-serving >> nth=3'],
  ['no-run', 'runs/nobody', 'text=There is no run nobody.'],
];

/** Opens one of them, and waits until it is whole. */
async function openWhole(page: Page, path: string, whole: string): Promise<void> {
  await open(page, path);
  // What is on narrow pages below other things, or not shown there, is there, too.
  await page.locator(whole).first().waitFor({ state: 'attached' });
}
const patience = { looks: 1200, pauseMs: 100 };

shown('the system page counts the runs that are paused', async (page) => {
  await open(page, 'system');
  await text(page, '1 run is paused.');
});

shown('runs that differ in their seed alone have a mean and a band', async (page) => {
  await open(page, 'runs');
  await until('three runs that have succeeded', async () => (await page.locator('.state-succeeded').count()) === 3, patience);
  await open(page, 'compare?runs=early-1,early-2,late-1');
  const values = page.locator('.chart', { hasText: 'Training loss' }).locator('.chart-values');
  await until('the loss of three runs', async () => /early-1 .*early-2 .*late-1/.test((await values.textContent()) ?? ''), patience);
  const picture = () => page.locator('.chart canvas').first().screenshot();
  const apart = await picture();
  await page.getByLabel(/Means and ranges/).check();
  await until(
    'a mean and a run',
    async () => /^mean of early-1 and 1 more [\d.]+late-1/.test((await values.textContent()) ?? ''),
    patience,
  );
  assert.notDeepEqual(await picture(), apart);
  await page.getByRole('row', { name: /^seed 1 2 1/ }).waitFor();
  await page.getByRole('button', { name: 'Remove early-2' }).click();
  await page.getByRole('row', { name: /^drop_mode early late/ }).waitFor();
});

shown('curves are of steps or of epochs, smoothed or not, with logarithmic axes', async (page) => {
  await open(page, 'runs/early-1');
  const chart = (title: string) => page.locator('.chart', { hasText: title });
  const values = chart('Training loss').locator('.chart-values');
  await values.locator('.value').waitFor();
  const of = async () => (await values.textContent()) ?? '';
  const smoothed = await of();
  await page.getByLabel('Smoothing').press('Home');
  await until('the value as it is', async () => (await of()) !== smoothed, patience);
  const raw = await of();
  await page.getByLabel('Values').selectOption('epoch');
  await until('the mean of the epoch', async () => (await of()) !== raw, patience);
  await until('no chart of what has no mean of an epoch', async () => (await chart('Waiting for data').count()) === 0, patience);
  await page.getByLabel('Values').selectOption('step');
  const linear = await chart('Training loss').locator('canvas').screenshot();
  await page.getByLabel('Log axes').check();
  await until('another picture', async () => !(await chart('Training loss').locator('canvas').screenshot()).equals(linear), patience);
  for (const kind of ['checkpoint', 'evaluation']) await page.locator('.legend').getByText(kind, { exact: true }).waitFor();
});

/** Everything that can have the focus, as a line for each. A text, because this file's program is not that of a page. */
const focusable = `[...document.querySelectorAll('a[href], button:enabled, input:enabled, select:enabled, summary, [tabindex="0"]')]
  .filter((element) => element.checkVisibility())`;

for (const [name, path, whole] of pages.slice(0, -1))
  shown(`the keyboard reaches everything, visibly: ${name}`, async (page) => {
    await openWhole(page, path, whole);
    await page.evaluate('window.visited = new Set()');
    const all = Number(await page.evaluate(`${focusable}.length`));
    assert.ok(all > 8);
    const unseen: string[] = [];
    for (let k = 0; k < all + 10; k++) {
      await page.keyboard.press('Tab');
      const problem = await page.evaluate(`(() => {
        const at = document.activeElement;
        if (at === null || at === document.body) return '';
        visited.add(at);
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(at);
        return (outlineStyle === 'none' || outlineWidth === '0px') && boxShadow === 'none' ? at.outerHTML.slice(0, 200) : '';
      })()`);
      if (problem !== '') unseen.push(String(problem));
    }
    assert.deepEqual(unseen, [], 'where the focus is cannot be seen');
    const missed = await page.evaluate(
      `${focusable}.filter((element) => !visited.has(element)).map((element) => element.outerHTML.slice(0, 200))`,
    );
    assert.deepEqual(missed, []);
  });

shown('a question is asked, and not answered, with the keyboard', async (page) => {
  await open(page, 'runs/early-1');
  const remove = page.getByRole('button', { name: 'Delete', exact: true });
  await remove.focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('heading', { name: 'Delete early-1?' }).waitFor();
  assert.equal(await page.evaluate('document.activeElement.textContent'), 'Keep it');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await remove.evaluate((element) => element === element.ownerDocument.activeElement), true);
  await page.keyboard.press('Enter');
  await dialog.waitFor(); // A key that comes before the dialog would move the focus of the page.
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate('document.activeElement.textContent'), 'Delete the run');
  await page.keyboard.press('Escape');
});

/** What moves by itself, and how long changes take. */
const moving = `document.getAnimations().length +
  [...document.querySelectorAll('*')].filter((element) => /[1-9]/.test(getComputedStyle(element).transitionDuration)).length`;

for (const motion of [false, true])
  shown(
    motion ? 'a run at work breathes' : 'nothing moves for those who want less motion',
    async (page) => {
      await system.createRun(`moving-${motion}`, { epochs: 100_000 });
      await open(page, 'runs');
      const row = page.getByRole('row', { name: `moving-${motion}` });
      await row.locator('.state-running').waitFor();
      assert.equal(Number(await page.evaluate(moving)) > 0, motion);
      await row.getByRole('link').first().click();
      await page.getByRole('button', { name: 'Cancel', exact: true }).click();
      await page.getByRole('button', { name: 'Cancel the run' }).click();
      await page.locator('.page-head .state', { hasText: 'cancelled' }).waitFor();
    },
    { motion },
  );

const looks: Record<string, PageOptions> = {
  light: {},
  dark: { dark: true },
  narrow: { width: 320, height: 700 },
  wide: { width: 3840, height: 2000 },
};
for (const [look, options] of Object.entries(looks))
  inBrowser(`axe finds nothing and nothing is cut off: ${look}`, async (browser) => {
    const { page, complaints } = await openPage(browser, options);
    for (const [name, path, whole] of pages) {
      // The widest one comes last, because axe looks at the page as it was opened.
      const widths = options.width === undefined ? [420, 768, 1440] : [options.width];
      await openWhole(page, path, whole);
      assert.deepEqual(await accessibilityProblems(page), [], name);
      for (const width of widths) {
        await page.setViewportSize({ width, height: options.height ?? 900 });
        const fits = await page.evaluate('document.documentElement.scrollWidth <= innerWidth');
        assert.equal(fits, true, `${name} is wider than a window of ${width}`);
        await picture(page, `${name}-${options.dark ? 'dark' : 'light'}-${width}`);
      }
    }
    assert.deepEqual(complaints, []);
    await page.close();
  });

/** For those who look at the pages themselves. */
async function picture(page: Page, name: string): Promise<void> {
  const folder = process.env.DROPSTREAM_SCREENSHOTS;
  if (folder !== undefined) await page.screenshot({ path: join(folder, `${name}.png`) });
}
