import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { PNG } from 'pngjs';
import { lineChart, niceTicks } from '../../page/line-chart.js';
import { stripes, syntheticClasses } from '../synthetic-images.js';
import { type Report, reportPage } from './report.js';

const EPOCHS = 6;
const STEPS = 937;

function sampleReport(): Report {
  const total = EPOCHS * STEPS;
  const image = (label: number, k: number) => {
    const png = new PNG({ width: 28, height: 28 });
    stripes(label, k).forEach((value, i) => void png.data.set([value, value, value, 255], 4 * i));
    return PNG.sync.write(png);
  };
  return {
    title: 'Early dropout on <gratings> & "others"',
    summary: 'vit_nano_p7 trained for 6 epochs on 60,000 images. Scored on 10,000 images: every seventh image, never used for training.',
    model: 'vit_nano_p7',
    parameters: 211_018,
    trainSamples: 60_000,
    testSamples: 10_000,
    trainSeconds: 151,
    stepsPerEpoch: STEPS,
    steps: Array.from({ length: total }, (_, step) => ({
      step,
      loss: 0.32 + 1.9 * Math.exp(-step / 500) + 0.09 * Math.sin(step * 12.9898) * Math.cos(step * 78.233),
      lr: step < total / 10 ? (0.003 * step) / (total / 10) : 0.0015 * (1 + Math.cos((Math.PI * (step - total / 10)) / (0.9 * total))),
      dropRate: Math.max(0, 0.1 * (1 - step / (3 * STEPS - 1))),
    })),
    epochs: Array.from({ length: EPOCHS }, (_, epoch) => ({
      epoch,
      loss: 0.85 / (epoch + 1) + 0.2,
      lr: 0.003 / (epoch + 1),
      dropRate: Math.max(0, 0.083 - 0.033 * epoch),
      imagesPerSecond: 2400 + 10 * epoch,
      top1: 88.6 - 9 / (epoch + 1),
      evalLoss: 0.3 + 0.3 / (epoch + 1),
    })),
    result: {
      top1: 88.61,
      top5: 99.7,
      loss: 0.3214,
      classes: syntheticClasses.map((name, k) => ({ name, correct: 1000 - 37 * ((k * 7) % 10), samples: 1000 })),
    },
    sheet: Array.from({ length: 30 }, (_, k) => ({
      png: image(k % 10, k),
      className: syntheticClasses[k % 10]!,
      steps: ['horizontal flip'],
    })),
    options: [
      ['model', 'vit_nano_p7'],
      ['dropout', '0.1'],
      ['drop_mode', 'early'],
    ],
    environment: [['node', '20.0.0']],
    next: ['npx dropstream up', 'npx dropstream runs list'],
  };
}

test('the page is self-contained and escapes what it shows', async () => {
  const page = reportPage(sampleReport());
  assert.match(page, /Early dropout on &lt;gratings&gt; &amp; &quot;others&quot;/);
  assert.doesNotMatch(page, /<script|src="http|href="http|@import|url\(/);
  assert.match(page, /88\.61 %/);
  assert.equal(page.match(/<figure>/g)?.length, 4);
  assert.equal(page.match(/data:image\/png;base64,/g)?.length, 30);
  assert.equal(page.match(/class="bar"/g)?.length, 10);
  assert.doesNotMatch(page, /NaN|undefined|Infinity/);
  assert.ok(page.length < 2_000_000, 'long runs are thinned');
  if (process.env.DROPSTREAM_TEST_REPORT) await writeFile(process.env.DROPSTREAM_TEST_REPORT, page);
});

test('a chart without values says so', () => {
  assert.match(lineChart({ title: 'x', xTitle: 'epoch', series: [], format: String }), /no values/);
});

test('a line ends where its data ends', () => {
  const svg = lineChart({
    title: 'x',
    xTitle: 't',
    yMin: 0,
    yMax: 10,
    xMax: 4,
    series: [
      {
        name: 's',
        color: 1,
        points: [
          [0, 0],
          [4, 10],
        ],
      },
    ],
    format: String,
  });
  assert.match(svg, /d="M56\.0 212\.0L506\.0 14\.0"/);
});

test('ticks are round and enclose the values', () => {
  assert.deepEqual(niceTicks(0, 1), [0, 0.5, 1]);
  assert.deepEqual(niceTicks(71.3, 88.6), [70, 75, 80, 85, 90]);
  for (const [low, high] of [
    [0, 0.1],
    [3, 3],
    [-5, 12],
    [0.001, 0.0042],
  ] as const) {
    const ticks = niceTicks(low, high);
    assert.ok(ticks[0]! <= low && ticks.at(-1)! >= high && ticks.length <= 9, `${low} ${high}: ${ticks}`);
  }
});
