/** The console in Chromium, with what a page complained about. */
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
}

export interface WatchedPage {
  readonly page: Page;
  /** Exceptions, and what the policy of the page refused. */
  readonly complaints: string[];
}

export async function openPage(browser: Browser, { dark = false, width = 1440, height = 900 }: PageOptions = {}): Promise<WatchedPage> {
  const page = await browser.newPage({ colorScheme: dark ? 'dark' : 'light', viewport: { width, height }, reducedMotion: 'reduce' });
  page.setDefaultTimeout(60_000);
  const complaints: string[] = [];
  page.on('pageerror', (error) => void complaints.push(String(error.stack ?? error)));
  page.on('console', (message) => {
    // Failed calls are shown by the page itself, and what it shows is what tests look at.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) complaints.push(message.text());
  });
  return { page, complaints };
}

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
