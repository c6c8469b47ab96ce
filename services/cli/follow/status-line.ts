/** Formats the status line of a run and the rows of its epoch table. */
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { bar, count, duration, significant } from '../output/numbers.js';
import { type RunProgress, secondsLeft } from './run-progress.js';

/**
 * `█████░░░ 52 %  1 min 20 s left  2,410 images/s  loss 0.412  lr 0.0012  drop 0.05  epoch 3  step 1,203/5,622`. If it is longer than
 * `columns`, parts are left out from the end, so the most important come first. Without `columns`, all parts but the bar are shown.
 */
export function statusLine(progress: RunProgress, columns?: number): string {
  if (progress.status !== '') return `the run ${progress.status}`.slice(0, columns === undefined ? undefined : columns - 1);
  if (progress.last === undefined) return progress.state === RunState.QUEUED ? 'waiting for a worker' : 'starting';
  if (progress.step === progress.totalSteps && progress.evaluated) return 'training has ended; waiting for the evaluations';
  const share = progress.totalSteps === 0 ? 0 : progress.step / progress.totalSteps;
  const left = secondsLeft(progress);
  const parts = [
    `${columns === undefined ? '' : `${bar(share, columns < 100 ? 8 : 16)} `}${Math.floor(share * 100)} %`,
    ...(left === undefined ? [] : [`${duration(left)} left`]),
    `${count(progress.imagesPerSecond ?? 0)} images/s`,
    ...(progress.loss === undefined ? [] : [`loss ${progress.loss.toFixed(3)}`]),
    `lr ${significant(progress.last.lr, 2)}`,
    `drop ${significant(progress.last.dropRate, 2)}`,
    `epoch ${progress.last.epoch + 1}`,
    `step ${count(progress.step)}/${count(progress.totalSteps)}`,
  ];
  while (columns !== undefined && parts.length > 1 && parts.join('  ').length >= columns) parts.pop();
  return parts.join('  ');
}

/** A row of the epoch table, or its title row without `line`. Widths are fixed, because rows are printed one by one. */
export function epochRow(line?: {
  epoch: number;
  loss: number;
  lr: number;
  dropRate: number;
  imagesPerSecond: number;
  /** Top-1 in percent, or what to show instead; absent if the evaluation has not ended. */
  top1?: number | 'failed' | undefined;
}): string {
  const cells =
    line === undefined
      ? ['epoch', 'loss', 'lr', 'drop rate', 'images/s', 'top-1']
      : [
          String(line.epoch + 1),
          line.loss.toFixed(4),
          significant(line.lr, 3),
          significant(line.dropRate, 3),
          count(line.imagesPerSecond),
          typeof line.top1 === 'number' ? `${line.top1.toFixed(2)} %` : (line.top1 ?? ''),
        ];
  const widths = [5, 8, 10, 10, 9, 9];
  return cells
    .map((cell, k) => cell.padStart(widths[k]!))
    .join(' ')
    .trimEnd();
}
