/**
 * npm run bench:console: how quick the console is in Chromium, on real services: the first paint, frames while all charts of a run are zoomed, and the opening
 * of a long run. The steps are written into the runs' logs as a worker writes them, without training them.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { type Run, RunState, StepMetrics, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { sealRecord, seqKey } from '#storage/log-record.js';
import { openStore } from '#storage/open-store.js';
import { type RunKey, recordOf, runName } from '../../services/trainer/run/run-log.js';
import { SeriesStore } from '../../services/trainer/run/series/series-store.js';
import { openBrowser } from '../support/browser.js';
import { type ConsoleSystem, startConsoleSystem } from '../support/console.js';
import { median, rounded } from './statistics.js';

const usage = `npm run bench:console -- [options]

  --steps N    steps of the long run (default 1000000)
  --zoomed N   steps of the run whose charts are zoomed (default 10000)
  --wait FILE  measure once this file is there: writing a million steps takes minutes, and nothing else should run while the browser is measured

The last line is one JSON object: milliseconds to the first paint, kilobytes that the page loads as they are sent, frames per second while every chart is zoomed, and
seconds until the long run shows its curves. Beside each figure stands what it must not exceed, or fall below.`;

/** What the page does; a text, because this file's program is not that of a page. */
const zoomEveryFrame = `(async () => {
  const plot = document.querySelector('.chart-plot');
  const times = [];
  for (let frame = 0; frame < 300; frame++) {
    plot.dispatchEvent(new KeyboardEvent('keydown', { key: frame % 20 < 10 ? '+' : '-', bubbles: true }));
    times.push(await new Promise((resolve) => requestAnimationFrame(resolve)));
  }
  const frames = times.slice(1).map((time, k) => time - times[k]);
  const total = times.at(-1) - times[0];
  return { charts: document.querySelectorAll('.chart canvas').length, fps: (1000 * frames.length) / total, worst: Math.max(...frames) };
})()`;

/** Bytes of the page, its style, script and icon as they are sent; what calls answer is not part of the page. */
const loadedBytes = `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .filter(({ initiatorType }) => initiatorType !== 'fetch')
  .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)`;

/** Of the eight charts of steps, the five noisy ones have two: the values as they are, and smoothed. The bench's run has no evaluations. */
const curvesOfRun = 13;

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000000' },
    zoomed: { type: 'string', default: '10000' },
    wait: { type: 'string' },
    help: { type: 'boolean' },
  },
});
if (values.help) console.log(usage);
else await main(Number(values.steps), Number(values.zoomed), values.wait);

async function main(steps: number, zoomed: number, wait: string | undefined): Promise<void> {
  const browser = await openBrowser();
  if ('skip' in browser) throw new Error(browser.skip);
  const system = await startConsoleSystem();
  try {
    await fillRun(system, 'zoomed', zoomed, 10);
    await fillRun(system, 'long', steps, 10);
    for (let told = false; wait !== undefined && !existsSync(wait); told = true) {
      if (!told) console.log(`waiting for ${wait}`);
      await delay(200);
    }
    const visits = [await visit(browser, system), await visit(browser, system), await visit(browser, system)];
    const { charts, fps, worst } = await zoom(browser, system);
    const opening = await open(browser, system);
    const figures = {
      first_paint_ms: rounded(median(visits.map(({ paintMs }) => paintMs))),
      first_paint_ms_at_most: 1000,
      loaded_kb: rounded(Math.max(...visits.map(({ bytes }) => bytes)) / 1000),
      loaded_kb_at_most: 200,
      charts,
      curves: curvesOfRun,
      steps_zoomed: zoomed,
      fps: rounded(fps),
      fps_at_least: 50,
      worst_frame_ms: rounded(worst),
      steps,
      opening_s: rounded(opening),
      opening_s_at_most: 2,
      chromium: browser.version(),
    };
    console.log(JSON.stringify(figures));
  } finally {
    await browser.close();
    await system.stop();
  }
}

/** A new page each time, as somebody opens it who was here before: its files are in no cache. */
async function visit(browser: Browser, { url }: ConsoleSystem): Promise<{ paintMs: number; bytes: number }> {
  const page = await browser.newPage();
  await page.goto(`${url}/#/projects/default/runs`);
  await page.getByRole('link', { name: 'long', exact: true }).waitFor();
  const paintMs = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  const bytes = Number(await page.evaluate(loadedBytes));
  await page.close();
  if (paintMs === undefined || !(bytes > 0)) throw new Error('the page was not painted, or loaded nothing');
  return { paintMs, bytes };
}

function loss(page: Page) {
  return page.locator('.chart', { hasText: 'Training loss' }).locator('.chart-values .value');
}

/** Zooms in and out once in every frame, for all charts follow one, and counts frames. */
async function zoom(browser: Browser, { url }: ConsoleSystem): Promise<{ charts: number; fps: number; worst: number }> {
  const page = await browser.newPage({ viewport: { width: 1920, height: 1400 } });
  await page.goto(`${url}/#/projects/default/runs/zoomed`);
  await loss(page).waitFor();
  await delay(1000);
  const result = (await page.evaluate(zoomEveryFrame)) as { charts: number; fps: number; worst: number };
  await page.close();
  return result;
}

async function open(browser: Browser, { url }: ConsoleSystem): Promise<number> {
  const page = await browser.newPage({ viewport: { width: 1920, height: 1400 } });
  await page.goto(`${url}/#/projects/default/runs`);
  const link = page.getByRole('link', { name: 'long', exact: true });
  await link.waitFor();
  const began = performance.now();
  await link.click();
  await loss(page).waitFor();
  const seconds = (performance.now() - began) / 1000;
  await page.close();
  return seconds;
}

/** Makes a paused run whose log has these steps, and the blocks beside the log that a worker would have made. */
async function fillRun({ createRun, of, folder }: ConsoleSystem, id: string, steps: number, perRecord: number): Promise<void> {
  await createRun(id, { epochs: 100_000, cutoffEpoch: 50_000, disableEval: true });
  const run = await paused(of('trainer').address, id);
  const key: RunKey = { project: 'default', id, uid: run.uid };
  const place = join(folder, 'store');
  const prefix = `${runName('default', id)}/${run.uid}/log`;
  let sequence = Number(run.logSequence);
  let { sha256: previous } = JSON.parse(readFileSync(join(place, seqKey(prefix, sequence)), 'utf8')) as { sha256: string };
  for (let at = Number(run.step); at < steps; at += perRecord) {
    const some = Array.from({ length: Math.min(perRecord, steps - at) }, (_, k) => step(at + k));
    const { kind, payload } = recordOf({ body: { $case: 'steps', value: { steps: some } } });
    const sealed = sealRecord({ seq: ++sequence, writer: 'bench', previous, kind }, 0, payload);
    previous = sealed.sha256;
    writeFileSync(join(place, seqKey(prefix, sequence)), sealed.bytes);
  }
  const store = await openStore(place);
  try {
    const series = new SeriesStore(store);
    const signal = AbortSignal.timeout(600_000);
    const { blockRecords, chapterBlocks } = series.shape;
    const blocks = Math.floor(sequence / blockRecords);
    for (let block = 0; block < blocks; block++) await series.block(key, block, signal);
    for (let chapter = 0; chapter < Math.floor(blocks / chapterBlocks); chapter++) await series.chapter(key, chapter, signal);
  } finally {
    await store.close();
  }
}

async function paused(address: string, id: string): Promise<Run> {
  const trainer = connect(TrainerServiceClient, address);
  const name = `projects/default/runs/${id}`;
  try {
    await trainer.pauseRun({ name }, { timeoutMs: 30_000 });
    for (let look = 0; look < 600; look++) {
      const { run } = await trainer.getRun({ name }, { timeoutMs: 10_000 });
      if (run?.state === RunState.PAUSED) return run;
      await delay(100);
    }
    throw new Error(`${name} did not pause`);
  } finally {
    trainer.close();
  }
}

function step(at: number): StepMetrics {
  return StepMetrics.fromPartial({
    step: BigInt(at),
    epoch: 0,
    loss: Math.fround(Math.exp(-at / 1e5) + Math.sin(at) / 50),
    lr: 1e-3 * Math.exp(-at / 1e5),
    dropRate: Math.max(0, 0.1 - at / 1e6),
    weightDecay: 0.05,
    gradNorm: 1 + Math.cos(at) / 3,
    classAcc: 1 - Math.exp(-at / 1e5),
    dataWaitSeconds: 0.001 + Math.sin(at / 10) / 2000,
    stepSeconds: 0.1 + Math.sin(at / 7) / 50,
    batchSha256: [Buffer.alloc(32, at % 256)],
  });
}
