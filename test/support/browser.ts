/** The console in Chromium, with what a page complained about. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import axe from 'axe-core';
import { type Browser, chromium, type Page } from 'playwright-core';
import { findTool } from './tool.js';

/** A browser, which the caller closes, or why there is none. */
export async function openBrowser(): Promise<Browser | { readonly skip: string }> {
  const tool = await findTool('chromium');
  if ('skip' in tool) return tool;
  return await chromium.launch({ executablePath: tool.path, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}

export interface PageOptions {
  readonly dark?: boolean;
  readonly width?: number;
  readonly height?: number;
  /** Whether things may move; default: no, so that pictures are the same. */
  readonly motion?: boolean;
  /** Token that the page has from its beginning. */
  readonly token?: string;
}

export interface WatchedPage {
  readonly page: Page;
  /** Exceptions, and what the policy of the page refused. */
  readonly complaints: string[];
}

export async function openPage(
  browser: Browser,
  { dark = false, width = 1440, height = 900, motion = false, token }: PageOptions = {},
): Promise<WatchedPage> {
  const page = await browser.newPage({
    colorScheme: dark ? 'dark' : 'light',
    viewport: { width, height },
    reducedMotion: motion ? 'no-preference' : 'reduce',
  });
  // A text, because this file's program is not that of a page.
  if (token !== undefined) await page.addInitScript(`sessionStorage.setItem('dropstream-token', ${JSON.stringify(token)})`);
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => void complaints.push(String(error.stack ?? error)));
  page.on('console', (message) => {
    // Failed calls are shown by the page itself, and what it shows is what tests look at.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  return { page, complaints };
}

const timeout = 300_000;

/** Tests of one file in one browser, which are skipped where there is none. `start` and `stop` surround them; `stop` comes after a failed start, too. */
export function browserTests({ start, stop }: { readonly start: () => Promise<void>; readonly stop: () => Promise<void> }) {
  let browser: Browser | undefined;
  let skip = 'the browser was not opened';
  before(async () => {
    const found = await openBrowser();
    if ('skip' in found) {
      skip = found.skip;
      return;
    }
    browser = found;
    await start();
  });
  after(async () => {
    await browser?.close();
    await stop();
  });
  const inBrowser = (name: string, look: (browser: Browser) => Promise<void>): void => {
    test(name, { timeout }, async (t) => {
      if (browser === undefined) return t.skip(skip);
      await look(browser);
    });
  };
  /** A test with a page of its own, which must not complain. */
  const shown = (name: string, look: (page: Page) => Promise<void>, options: PageOptions = {}): void =>
    inBrowser(name, async (opened) => {
      const { page, complaints } = await openPage(opened, options);
      try {
        await look(page);
        assert.deepEqual(complaints, []);
      } finally {
        await page.close();
      }
    });
  return { inBrowser, shown };
}

export const text = (page: Page, words: string | RegExp): Promise<void> => page.getByText(words).first().waitFor();
export const button = (page: Page, name: string) => page.getByRole('button', { name, exact: true });

/** What axe finds wrong by WCAG 2.2 A and AA, as a line for each place. */
export async function accessibilityProblems(page: Page): Promise<string[]> {
  // The page's own policy forbids scripts of others; evaluating it as the test's is not concerned by that.
  await page.evaluate(axe.source);
  return await page.evaluate(async () => {
    const { axe: runner } = globalThis as unknown as { axe: typeof axe };
    const { violations } = await runner.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary ?? ''}`));
  });
}
