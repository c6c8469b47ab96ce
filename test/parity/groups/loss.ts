/** loss.json: losses, ranks and accuracies, ties, and the mean over an epoch. */
import { countTopK, labelRank } from '#nn/metrics.js';
import { ScoreSums } from '../../../services/evaluator/worker/scores.js';
import { absolute, type Check, holds, same } from '../../support/checks.js';
import { type LossFile, lossChecks } from '../../support/golden-loss.js';
import { listed, onFloat32, type ParitySource } from '../parity-case.js';

const ranksOf = (rows: number[][], labels: number[], classes: number) =>
  labels.map((label, i) => labelRank(rows.flat(), i, classes, label));

function metricChecks({ classes, logits, labels, metrics }: LossFile): Check[] {
  const percent = (k: number) => (100 * countTopK(logits.flat(), labels, classes, k)) / labels.length;
  return [
    same('ranks', ranksOf(logits, labels, classes), metrics.rank_of_label),
    absolute('top-1', percent(1), metrics.acc1, 1e-10),
    absolute('top-5', percent(5), metrics.acc5, 1e-10),
  ];
}

function tieChecks({ classes, ties }: LossFile): Check[] {
  const ranks = ranksOf(ties.logits, ties.labels, classes);
  return [
    same('ranks by the rule', ranks, ties.rank_by_the_rule),
    holds(
      'within what topk may do',
      ranks.every((rank, i) => rank >= ties.rank_at_best[i]! && rank <= ties.rank_at_worst[i]!),
    ),
  ];
}

/** Batches whose losses and hits are those given, added up as an evaluation does. */
function epochChecks({ epoch_mean: { batch_sizes, batch_loss, batch_acc1, acc1, loss_weighted } }: LossFile): Check[] {
  const sums = new ScoreSums(2);
  for (const [k, size] of batch_sizes.entries()) {
    const hits = Math.round((size * batch_acc1[k]!) / 100);
    const logits = Array.from({ length: size }, (_, i) => (i < hits ? [1, 0] : [0, 1])).flat();
    sums.add(logits, new Array<number>(size).fill(batch_loss[k]!), new Array<number>(size).fill(0));
  }
  const scores = sums.scores();
  return [absolute('top-1', scores.top1, acc1, 1e-10), absolute('loss by samples', scores.loss, loss_weighted, 1e-10)];
}

export const loss: ParitySource = {
  group: 'loss',
  file: /^loss\.json$/,
  cases(file, context) {
    const golden = context.folder.json<LossFile>(file);
    return [
      ...listed(file, 'losses', Object.keys(golden.losses)).map((name) =>
        onFloat32(context, `loss/${name}`, () => lossChecks(context.folder, name, context.engine)),
      ),
      { name: 'loss/metrics', run: () => metricChecks(golden) },
      { name: 'loss/ties', run: () => tieChecks(golden) },
      { name: 'loss/epoch mean', run: () => epochChecks(golden) },
    ];
  },
};
