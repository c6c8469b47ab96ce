/** What one does in the console: by role, over a store that browsers can download from, with sliders, and what a change would do to runs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import type { Role } from '#auth/policy.js';
import { createToken } from '#auth/tokens.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { version } from '#telemetry/version.js';
import { browserTests, button, text } from '../support/browser.js';
import { type ConsoleSystem, startConsoleSystem } from '../support/console.js';
import { type RunningMinio, startMinio } from '../support/minio.js';
import { until } from '../support/until.js';

const soon = { timeoutMs: 30_000 };
const patience = { looks: 600, pauseMs: 100 };
/** Known when pages are opened, before the services are. */
const tokens = { viewer: createToken(), operator: createToken() };
const [viewer, operator] = [{ token: tokens.viewer.text }, { token: tokens.operator.text }];
const files: string[] = [];
let minio: RunningMinio | undefined;
let system: ConsoleSystem | undefined;

const { shown } = browserTests({ start, stop });

/** The gateway asks who calls; the services behind it answer everybody. */
async function start(): Promise<void> {
  const found = await startMinio();
  if ('skip' in found) throw new Error(`the tests of a browser need a store that it can download from: ${found.skip}`);
  minio = found;
  const identities = join(tmpdir(), `dropstream-identities-${process.pid}.json`);
  files.push(identities);
  const principals = Object.fromEntries(
    (Object.keys(tokens) as (keyof typeof tokens & Role)[]).map((role) => {
      const { id, sha256 } = tokens[role];
      return [role, { roles: { '*': role }, tokens: [{ id, sha256, created: new Date().toISOString() }] }];
    }),
  );
  await writeFile(identities, JSON.stringify({ version: 1, principals }), { mode: 0o600 });
  system = await startConsoleSystem({
    store: await minio.createBucket('console'),
    env: minio.env,
    extra: { gateway: ['--identities', identities, '--grafana', 'https://grafana.example.com/'] },
  });
  const scheduler = connect(SchedulerServiceClient, system.of('scheduler').address);
  const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.STANDARD, schedule: DropSchedule.CONSTANT, cutoffEpoch: 0 };
  await scheduler.createSchedule({ parent: 'projects/default', scheduleId: 'warm', spec }, soon).finally(() => scheduler.close());
  await system.createRun('base', { seed: 1n, modelEma: true, modelEmaEval: true }, { team: 'vision' });
  // It goes on until the services end, however fast the machine is.
  await system.createRun('steady', {
    ...{ epochs: 100_000, schedule: 'projects/default/schedules/warm', followSchedule: true, saveCkpt: false, disableEval: true },
    ...{ dropout: undefined, dropMode: undefined, dropSchedule: undefined, cutoffEpoch: undefined },
  } as object);
}

async function stop(): Promise<void> {
  await system?.stop();
  await minio?.stop();
  for (const file of files) await import('node:fs/promises').then(({ rm }) => rm(file, { force: true }));
}

const open = (page: Page, path: string, project = 'default') => page.goto(`${system!.url}/#/projects/${project}/${path}`);
const state = (page: Page, word: RegExp | string) => page.locator('.page-head .state', { hasText: word }).waitFor();

/** What the trainer itself says. */
async function stateOf(id: string): Promise<RunState> {
  const trainer = connect(TrainerServiceClient, system!.of('trainer').address);
  return (await trainer.getRun({ name: `projects/default/runs/${id}` }, soon).finally(() => trainer.close())).run!.state;
}

/** Agrees to the question that an action asks, if it does. @returns what the page says of the refusal */
async function refusal(page: Page, does: () => Promise<void>, agree?: string): Promise<string> {
  await does();
  if (agree !== undefined) await button(page, agree).click();
  const trouble = page.locator('.toast-trouble');
  await trouble.waitFor();
  const words = (await trouble.textContent()) ?? '';
  await trouble.getByRole('button', { name: 'Dismiss' }).click();
  return words;
}

shown(
  'a checkpoint is downloaded, exported by a command, and a run starts from it',
  async (page) => {
    await open(page, 'runs/base');
    await page.locator('.page-head .state', { hasText: 'succeeded' }).waitFor({ timeout: 180_000 });
    await page.locator('.chart', { hasText: 'Top-1 of checkpoints' }).getByText(/EMA/).first().waitFor();
    await button(page, 'Use').first().click();
    await text(page, /dropstream checkpoints export base\//);
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: /^Download weights/ }).click()]);
    const bytes = await readFile((await download.path())!);
    const trainer = connect(TrainerServiceClient, system!.of('trainer').address);
    const { checkpoints } = await trainer.listCheckpoints({ parent: 'projects/default/runs/base' }, soon).finally(() => trainer.close());
    const weights = checkpoints[0]!.files.find(({ role }) => role === 'weights')!;
    assert.deepEqual(createHash('sha256').update(bytes).digest(), Buffer.from(weights.sha256));

    await page.getByRole('link', { name: 'Start a run from it' }).click();
    await page.getByRole('heading', { name: 'New run' }).waitFor();
    assert.equal(await page.getByLabel('finetune', { exact: true }).inputValue(), checkpoints[0]!.name);
    await page.getByLabel('epochs', { exact: true }).fill('1');
    await page.getByLabel('cutoff_epoch', { exact: true }).fill('1');
    await page.getByLabel('Id of the run').fill('forked');
    await text(page, 'The trainer would take it.');
    await text(page, /dropstream train[\s\S]*--finetune/);
    await page.getByLabel('Language').selectOption('TypeScript');
    await text(page, /client\.submit\(/);
    await button(page, 'Start the run').click();
    await page.getByRole('heading', { name: 'forked' }).waitFor();
    await page.getByRole('link', { name: 'Run like this' }).click();
    await text(page, 'The trainer would take it.');
    assert.equal(await page.getByLabel('epochs', { exact: true }).inputValue(), '1');
  },
  operator,
);

shown(
  'an action that a role does not allow is refused, and nothing has happened',
  async (page) => {
    const refused = /did not work: .*(viewer|permission|may not|not allowed|role)/i;
    await open(page, 'runs/steady');
    await state(page, 'running');
    assert.match(await refusal(page, () => button(page, 'Pause').click()), refused);
    assert.match(await refusal(page, () => button(page, 'Cancel').click(), 'Cancel the run'), refused);
    assert.equal(await stateOf('steady'), RunState.RUNNING);
    await open(page, 'runs/base');
    assert.match(await refusal(page, () => button(page, 'Delete').click(), 'Delete the run'), refused);
    await button(page, 'Use').first().click();
    assert.match(await refusal(page, () => button(page, 'Evaluate').click()), /The evaluation was not created: /);
    assert.equal(await stateOf('base'), RunState.SUCCEEDED);
    await open(page, 'schedules/warm');
    await page.getByRole('slider', { name: 'Drop rate' }).press('ArrowUp');
    assert.match(await refusal(page, () => button(page, 'Store a new revision').click()), refused);
    assert.match(await refusal(page, () => button(page, 'Delete').click(), 'Delete the schedule'), refused);
    await open(page, 'new-run?like=base');
    await page.getByRole('alert').waitFor();
    await until('a button that cannot be pressed', async () => await button(page, 'Start the run').isDisabled(), patience);
  },
  viewer,
);

shown(
  'a pause is taken back with the message that says so',
  async (page) => {
    await open(page, 'runs/steady');
    await state(page, 'running');
    await button(page, 'Pause').click();
    await page.locator('.toast').getByRole('button', { name: 'Resume' }).click();
    await text(page, 'steady is in the queue again.');
    await state(page, /queued|running/);
    await until('the run to go on', async () => (await stateOf('steady')) === RunState.RUNNING, patience);
  },
  operator,
);

shown(
  'the editor says what a change would do to a run that follows, which takes it over',
  async (page) => {
    await open(page, 'schedules/warm');
    const row = page.getByRole('row', { name: /^steady/ });
    const cells = () => row.getByRole('cell').allTextContents();
    await row.waitFor();
    assert.deepEqual((await cells()).slice(1, 3), ['0.1', '0.1']);
    await page.getByLabel('Rate', { exact: true }).fill('0.2');
    await until('the rate with the change', async () => (await cells())[2] === '0.2', patience);
    await row.getByRole('img', { name: 'Mean rate of the steps that are left: 0.1 as it is, 0.2 with the change' }).waitFor();
    await button(page, 'Store a new revision').click();
    await text(page, 'Revision 2 of warm is stored.');
    await until('both rates to be the new one', async () => (await cells()).slice(1, 3).join() === '0.2,0.2', patience);
    await row.getByRole('link', { name: 'steady' }).click();
    await page
      .locator('.log')
      .getByText(/^Revision 2 of the drop schedule is used from step/)
      .waitFor();
    await page.locator('.legend').getByText('new revision of the schedule').waitFor();
  },
  operator,
);

shown(
  'the sliders of a recipe change what is done to every image, and each says it',
  async (page) => {
    await open(page, `data/${system!.train.sha256}`);
    const steps = async () => await page.locator('.images > li').evaluateAll((items) => items.map((item) => item.textContent ?? ''));
    const all = (what: RegExp) =>
      until(
        `${what} at every image`,
        async () => {
          const said = await steps();
          return said.length === 16 && said.every((words) => what.test(words));
        },
        patience,
      );
    assert.equal(await page.getByRole('slider', { name: 'Colour jitter' }).isDisabled(), true, 'RandAugment takes its place');
    const slide = (name: string, to: 'Home' | 'End') => page.getByRole('slider', { name }).press(to);
    await slide('Cutmix alpha', 'Home');
    await all(/mixup with its partner; target [\d.]+ .*, [\d.]+ /);
    await slide('Cutmix alpha', 'End');
    await slide('Mixup alpha', 'Home');
    await all(/cutmix: \d+ x \d+ at \(\d+, \d+\) from its partner/);
    await slide('Mixing probability', 'Home');
    await slide('Erasing probability', 'End');
    await slide('Flip probability', 'End');
    await all(/crop \d+ x \d+.*flip left to right.*erase \d+ x \d+ at/);
    assert.ok((await steps()).every((words) => !/mixup|cutmix/.test(words)));
  },
  viewer,
);

shown(
  'the system page has versions, wishes, workers and links to dashboards',
  async (page) => {
    await open(page, 'system');
    await until('four versions', async () => (await page.getByText(`version ${version}`, { exact: false }).count()) >= 5, patience);
    const wish = page.locator('.facts.small div', { hasText: 'trainer workers' }).locator('dd');
    await until('a worker that is wanted', async () => /^[1-9]/.test((await wish.textContent()) ?? ''), patience);
    await page.locator('li', { hasText: /trains steady/ }).waitFor();
    const overview = page.getByRole('link', { name: 'Overview' });
    assert.equal(await overview.getAttribute('href'), 'https://grafana.example.com/d/dropstream-overview');
  },
  operator,
);

shown(
  'a project without anything says so on every page',
  async (page) => {
    for (const [path, words] of [
      ['runs', 'There are no runs yet.'],
      ['compare', 'Choose runs to compare.'],
      ['schedules', 'There are no stored schedules yet.'],
      ['data', 'No run uses a data set yet.'],
      ['system', 'No run is active.'],
    ] as const) {
      await open(page, path, 'empty');
      await text(page, words);
    }
    await text(page, 'There are no evaluations.');
  },
  viewer,
);
