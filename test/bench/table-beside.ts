/** Rows of the table measured in two clones in turns, so that both meet the same minutes of the machine: a change beside the commit before it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { median, rounded } from './statistics.js';
import type { TableRow } from './table-rows.js';
import { runTrainBench, TRAIN_BENCH } from './train-process.js';
import { UsageError } from './training-case.js';

/** The part of bench:train's line that is compared. */
interface Speed {
  img_per_s: number;
  step_ms_p10: number;
  disturbed: boolean;
  peak_bytes: number | null;
}

const here = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Prints one JSON line per row: images per second of this clone and of the other, whose addon must be built, and the ratio of their medians. Each round is
 * this, other, other, this (A B B A), which takes a slow drift of the machine out of the ratio. PyTorch is not measured.
 *
 * Throws UsageError where the folder has no bench:train.
 */
export async function compareRows(rows: readonly TableRow[], other: string, rounds: number, seconds: string | undefined): Promise<void> {
  if (!existsSync(join(other, TRAIN_BENCH)))
    throw new UsageError(`--beside: ${other} has no ${TRAIN_BENCH}; allowed: the root of another clone`);
  for (const row of rows) {
    const args = [...row.args.filter((arg) => arg !== '--peer'), ...(seconds === undefined ? [] : ['--seconds', seconds])];
    const own: Speed[] = [];
    const others: Speed[] = [];
    const turns = Array.from({ length: rounds }, () => [own, others, others, own]).flat();
    for (const [turn, speeds] of turns.entries()) {
      const speed = (await runTrainBench(speeds === own ? here : other, args)) as Speed;
      speeds.push(speed);
      console.error(`${row.name}, ${turn + 1} of ${turns.length}: ${speeds === own ? 'this' : 'other'} ${speed.img_per_s} images/s`);
    }
    const figures = (speeds: readonly Speed[]) => speeds.map(({ img_per_s }) => rounded(img_per_s));
    const best = (speeds: readonly Speed[]) => Math.min(...speeds.map(({ step_ms_p10 }) => step_ms_p10));
    const line = {
      row: row.name,
      img_per_s: figures(own),
      other_img_per_s: figures(others),
      ratio: rounded(median(figures(own)) / median(figures(others))),
      ratio_of_quickest_tenths: rounded(best(others) / best(own)),
      peak_bytes: median(own.map(({ peak_bytes }) => peak_bytes ?? 0)),
      other_peak_bytes: median(others.map(({ peak_bytes }) => peak_bytes ?? 0)),
      disturbed: [...own, ...others].some(({ disturbed }) => disturbed),
    };
    console.log(JSON.stringify(line));
  }
}
