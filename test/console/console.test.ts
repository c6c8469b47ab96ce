/** The console in Chromium, on real services: every page and every action, and what it says when something is away. */
import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';
import { browserTests, button, text } from '../support/browser.js';
import { type ConsoleSystem, startConsoleSystem } from '../support/console.js';
import { until } from '../support/until.js';

const patience = { looks: 600, pauseMs: 100 };
let system: ConsoleSystem;
const { shown } = browserTests({
  start: async () => {
    system = await startConsoleSystem();
  },
  stop: async () => await system?.stop(),
});

const open = (page: Page, path: string) => page.goto(`${system.url}/#/projects/default/${path}`);
/** Waits for a line of a run's log; a fast machine writes more lines than are shown at first before the page is looked at. */
const logged = (page: Page, words: RegExp) =>
  until(
    `a line of the log like ${words}`,
    async () => {
      const all = page.getByRole('button', { name: /^Show all/ });
      if ((await all.count()) > 0) await all.click();
      return (await page.locator('.log').getByText(words).count()) > 0;
    },
    patience,
  );
/** Kills a service again whenever it is back, until the page has noticed; a single death may be over before the page asks again. */
const keepAway = (service: 'trainer' | 'scheduler' | 'gateway', noticed: () => Promise<boolean>) =>
  until(
    `the page notices that the ${service} is away`,
    async () => {
      const pid = system.services.pids()[service];
      try {
        if (pid !== undefined) process.kill(pid, 'SIGKILL');
      } catch (error) {
        // It ended by the last signal, and has not been started again.
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
      return await noticed();
    },
    patience,
  );

shown('before the first run, the page says how to start one', async (page) => {
  await page.goto(system.url);
  await text(page, 'There are no runs yet.');
  await page.getByRole('link', { name: 'Start the first one here' }).click();
  await page.getByRole('heading', { name: 'New run' }).waitFor();
});

shown('a run is started from the form, whose faults are shown while one types, and its curves grow', async (page) => {
  await open(page, 'new-run');
  await page.getByLabel('model', { exact: true }).fill('vit_nano_p8');
  await text(page, /must be one of/);
  assert.equal(await button(page, 'Start the run').isDisabled(), true);
  const values: Record<string, string> = {
    model: 'vit_nano_p7',
    // It goes on until the next test cancels it, however fast the machine is.
    epochs: '4000',
    dropout: '0.1',
    cutoff_epoch: '20',
    train_manifest: system.train.sha256,
    eval_manifest: system.test.sha256,
  };
  for (const [name, value] of Object.entries(values)) await page.getByLabel(name, { exact: true }).fill(value);
  await page.getByLabel('drop_mode', { exact: true }).selectOption('early');
  await page.getByText('Learning rate', { exact: true }).first().click();
  await page.getByLabel('warmup_epochs', { exact: true }).fill('0');
  await page.getByText('Mix', { exact: true }).click();
  for (const name of ['mixup', 'cutmix']) await page.getByLabel(name, { exact: true }).fill('0');
  await page.getByLabel('Id of the run').fill('from-the-form');
  await page.getByLabel('Labels').fill('team=vision');
  await text(page, 'The trainer would take it.');
  await text(page, /dropstream train/);
  await page.getByLabel('Language').selectOption('Python');
  await text(page, /client.submit/);
  await button(page, 'Start the run').click();
  await page.getByRole('heading', { name: 'from-the-form' }).waitFor();
  await page.locator('.chart-title', { hasText: 'Training loss' }).waitFor();
  await page.locator('.chart-title', { hasText: 'Top-1 of checkpoints' }).waitFor();
  await logged(page, /claimed the run/);
  const loss = () => page.locator('.chart', { hasText: 'Training loss' }).locator('.chart-values').textContent();
  const first = await loss();
  await until('a new value of the loss', async () => (await loss()) !== first, patience);
});

shown('a run is paused, goes on, and is cancelled after a question', async (page) => {
  await open(page, 'runs/from-the-form');
  await button(page, 'Pause').click();
  await page.locator('.page-head .state', { hasText: 'paused' }).waitFor();
  await button(page, 'Resume').first().click();
  await page.locator('.page-head .state', { hasText: /running|queued/ }).waitFor();
  await logged(page, /goes on at step/);
  await button(page, 'Cancel').click();
  await button(page, 'Keep it').click();
  assert.equal(await page.locator('.page-head .state', { hasText: 'cancelled' }).count(), 0);
  await button(page, 'Cancel').click();
  await button(page, 'Cancel the run').click();
  await page.locator('.page-head .state', { hasText: 'cancelled' }).waitFor();
  await logged(page, /The run is cancelled/);
});

shown('the table of runs is live, has filters, and is used with the keyboard alone', async (page) => {
  await system.createRun('seed-1', { seed: 1n }, { study: 'seeds' });
  await system.createRun('seed-2', { seed: 2n }, { study: 'seeds' });
  await open(page, 'runs');
  const row = (id: string) => page.getByRole('row', { name: id });
  for (const id of ['seed-1', 'seed-2']) await row(id).getByText('succeeded').waitFor({ timeout: 120_000 });
  await row('seed-1').locator('.spark path[d^="M"]').first().waitFor();
  await page.getByRole('link', { name: 'seed-2', exact: true }).focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'seed-1' }).waitFor();
  await page.goBack();
  await page.getByLabel('Filter', { exact: true }).fill('labels.study = other');
  await page.keyboard.press('Enter');
  await text(page, 'No run fits the filter.');
  await page.getByLabel('Filter', { exact: true }).fill('colour = red');
  await page.keyboard.press('Enter');
  await page.locator('#filter-problem').waitFor();
  await page.getByLabel('State').selectOption('cancelled');
  await row('from-the-form').waitFor();
  assert.equal(await row('seed-1').count(), 0);
  await page.getByLabel('State').selectOption('');
  for (const id of ['seed-1', 'seed-2']) await page.getByLabel(`Compare ${id}`).check();
  await page.getByRole('link', { name: 'Compare 2 runs' }).click();
  await page.getByRole('rowheader', { name: 'seed', exact: true }).waitFor();
  await page.getByLabel(/Means and ranges/).check();
  await text(page, /mean of seed/);
});

shown('charts share their zoom, by mouse and by keyboard', async (page) => {
  await open(page, 'runs/seed-1');
  const plot = page.getByRole('group', { name: 'Chart: Training loss' });
  await plot.locator('canvas').waitFor();
  await plot.focus();
  await page.keyboard.press('ArrowLeft');
  await page
    .locator('.chart-values', { hasText: /step \d+/ })
    .first()
    .waitFor();
  await page.keyboard.press('+');
  const reset = button(page, 'Show everything');
  await until('a zoom by the keyboard', async () => await reset.isEnabled(), patience);
  await page.keyboard.press('0');
  await until('the whole curve', async () => await reset.isDisabled(), patience);
  const box = (await plot.boundingBox())!;
  await page.mouse.move(box.x + 120, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + 220, box.y + 60, { steps: 4 });
  await page.mouse.up();
  await until('a zoom by the mouse', async () => await reset.isEnabled(), patience);
});

shown('a checkpoint is evaluated again, and a run is deleted after a question', async (page) => {
  await open(page, 'runs/seed-2');
  await button(page, 'Use').first().click();
  await text(page, /dropstream checkpoints export/);
  await button(page, 'Evaluate').click();
  await text(page, /is in the queue/);
  await button(page, 'Delete').click();
  await button(page, 'Delete the run').click();
  await page.getByRole('heading', { name: 'Runs' }).waitFor();
  await page.getByRole('link', { name: 'seed-1', exact: true }).waitFor();
  await until('the deleted run to go', async () => (await page.getByRole('link', { name: 'seed-2', exact: true }).count()) === 0, patience);
});

shown('a schedule is stored, revised under the pointer and by keys, and deleted', async (page) => {
  await open(page, 'schedules');
  await page.getByLabel('Name').fill('warm');
  await button(page, 'Store the schedule').click();
  await page.getByRole('heading', { name: 'warm', exact: true }).waitFor();
  const rate = page.getByRole('slider', { name: 'Drop rate' });
  await rate.focus();
  await page.keyboard.press('ArrowUp');
  await until('the new rate', async () => (await rate.getAttribute('aria-valuenow')) === '0.105', patience);
  const box = (await page.getByRole('slider', { name: 'Cutoff epoch' }).boundingBox())!;
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + 120, box.y, { steps: 4 });
  await page.mouse.up();
  await button(page, 'Store a new revision').click();
  await text(page, /Revision 2: dropout from 0.105/);
  await page.getByLabel('When').selectOption('late');
  const how = page.locator('label', { hasText: /^How/ }).locator('select');
  await until('only one way to end', async () => await how.isDisabled(), patience);
  await button(page, 'Undo changes').click();
  await button(page, 'Delete').click();
  await button(page, 'Delete the schedule').click();
  await text(page, 'There are no stored schedules yet.');
});

shown('a data set shows its classes, and a batch with what was done to each image', async (page) => {
  await open(page, `data/${system.train.sha256}`);
  await text(page, /images in 10 classes/);
  await page.locator('.images img').first().waitFor();
  assert.equal(await page.locator('.images > li').count(), 16);
  assert.ok((await page.locator('.images ol li').allTextContents()).some((step) => /crop|flip|mix/i.test(step)));
  const before = await page.locator('.images img').first().getAttribute('src');
  await page.getByLabel('as in training').uncheck();
  await until('other images', async () => (await page.locator('.images img').first().getAttribute('src')) !== before, patience);
});

shown('the system page knows every service', async (page) => {
  await open(page, 'system');
  await until('four services that serve', async () => (await page.locator('.health-serving').count()) === 4, patience);
  await text(page, 'trainer workers');
});

shown('what does not exist is said', async (page) => {
  await open(page, 'runs/nobody');
  await text(page, 'There is no run nobody.');
  await open(page, 'nowhere');
  await text(page, 'There is no such page.');
  await open(page, 'schedules/nothing');
  await text(page, 'There is no schedule nothing.');
  await open(page, `data/${'0'.repeat(64)}`);
  await page.getByRole('alert').waitFor();
});

shown('a service that is killed is said to be away, and the page goes on when it is back', async (page) => {
  await open(page, 'runs');
  await page.getByRole('link', { name: 'seed-1', exact: true }).waitFor();
  const away = page.getByText(/The page tries again by itself/);
  await keepAway('trainer', async () => (await away.count()) > 0);
  await page.getByRole('link', { name: 'seed-1', exact: true }).waitFor();
  await away.waitFor({ state: 'detached', timeout: 90_000 });
  await open(page, 'system');
  const serving = async () => await page.locator('.health-serving').count();
  await until('four services that serve', async () => (await serving()) === 4, patience);
  await keepAway('scheduler', async () => (await page.locator('.health-no-answer').count()) > 0);
  await until('the scheduler to serve again', async () => (await serving()) === 4, patience);
  const banner = page.locator('.banner');
  await keepAway('gateway', async () => (await banner.count()) > 0);
  await banner.waitFor({ state: 'detached', timeout: 90_000 });
});
