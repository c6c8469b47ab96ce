/** The one line that shows where a run stands. */
import { RunState } from '#protocol/dropstream/v1/trainer.js';
import { bar, count, duration, significant } from '../output/numbers.js';
import { type RunProgress, secondsLeft } from './run-progress.js';

/** `█████░░░ 52 %  epoch 3  loss 0.412  lr 0.0012  drop 0.05  2,410 images/s  1 min 20 s left`. */
export function statusLine(progress: RunProgress, barWidth = 16): string {
  if (progress.last === undefined) return progress.state === RunState.QUEUED ? 'waiting for a worker' : 'starting';
  if (progress.step === progress.totalSteps && progress.evaluated) return 'trained; waiting for the evaluations';
  const share = progress.totalSteps === 0 ? 0 : progress.step / progress.totalSteps;
  const left = secondsLeft(progress);
  return [
    `${bar(share, barWidth)} ${Math.floor(share * 100)} %`.trim(),
    `epoch ${progress.last.epoch + 1}`,
    `step ${count(progress.step)}/${count(progress.totalSteps)}`,
    `loss ${(progress.loss ?? Number.NaN).toFixed(3)}`,
    `lr ${significant(progress.last.lr, 3)}`,
    `drop ${significant(progress.last.dropRate, 3)}`,
    `${count(progress.imagesPerSecond ?? 0)} images/s`,
    ...(left === undefined ? [] : [`${duration(left)} left`]),
  ].join('  ');
}

/** One line of the epoch table, or its title where `line` is absent. Widths are fixed, because rows come one by one. */
export function epochRow(line?: {
  epoch: number;
  loss: number;
  lr: number;
  dropRate: number;
  imagesPerSecond: number;
  top1?: number | undefined;
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
          line.top1 === undefined ? '' : `${line.top1.toFixed(2)} %`,
        ];
  const widths = [5, 8, 10, 10, 9, 9];
  return cells
    .map((cell, k) => cell.padStart(widths[k]!))
    .join(' ')
    .trimEnd();
}
