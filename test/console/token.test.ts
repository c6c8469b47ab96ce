/** The console before a gateway that admits callers with a token only. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createToken } from '#auth/tokens.js';
import { openBrowser, openPage } from '../support/browser.js';
import { gatewayFor, schedulerFor } from '../support/gateway.js';

test('the page asks for a token, keeps it for the tab, and says what a role does not allow', { timeout: 120_000 }, async (t) => {
  const browser = await openBrowser();
  if ('skip' in browser) return t.skip(browser.skip);
  t.after(() => browser.close());
  const folder = await mkdtemp(join(tmpdir(), 'dropstream-console-'));
  t.after(() => rm(folder, { recursive: true }));
  const identities = join(folder, 'identities.json');
  const token = await viewerToken(identities);
  const scheduler = await schedulerFor(t, ['--identities', identities]);
  const gateway = await gatewayFor(t, ['--scheduler', `127.0.0.1:${scheduler.port}`, '--identities', identities]);
  const { page, complaints } = await openPage(browser);
  await page.goto(`http://127.0.0.1:${gateway.port}/#/projects/default/schedules`);
  await page.getByRole('heading', { name: 'Who are you?' }).waitFor();
  await page.getByLabel('Token').fill('dst_000000000000_wrong');
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByRole('heading', { name: 'Who are you?' }).waitFor();
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Go on' }).click();
  await page.getByText('There are no stored schedules yet.').waitFor();
  await page.getByLabel('Name').fill('warm');
  await page.getByRole('button', { name: 'Store the schedule' }).click();
  await page.locator('.toast-trouble').waitFor();
  assert.match((await page.locator('.toast-trouble').textContent()) ?? '', /Saving did not work/);
  await page.reload();
  await page.getByText('There are no stored schedules yet.').waitFor();
  await page.getByRole('button', { name: 'Forget token' }).click();
  await page.getByRole('heading', { name: 'Who are you?' }).waitFor();
  assert.equal(await page.evaluate('sessionStorage.length'), 0);
  assert.deepEqual(complaints, []);
});

/** The token of a viewer of every project, whom the file names. */
async function viewerToken(identities: string): Promise<string> {
  const { id, text, sha256 } = createToken();
  const principals = { viewer: { roles: { '*': 'viewer' }, tokens: [{ id, sha256, created: new Date().toISOString() }] } };
  await writeFile(identities, JSON.stringify({ version: 1, principals }), { mode: 0o600 });
  return text;
}
