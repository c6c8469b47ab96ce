/**
 * Small fixtures in the layout of shared/fixtures under any salt, from plain float64 arithmetic of its own: what the recipe says of schedules
 * (as NumPy's linspace steps through a line), losses and mixing, with nothing of the libraries but the formula for values.
 */
import { fillLabels, fillUnits } from '../support/fixtures.js';

const unit = (salt: string, name: string, i = 0) => fillUnits(`${salt}/${name}`, i + 1)[i] as number;
const below = (salt: string, name: string, n: number, i = 0) => Math.floor(unit(salt, name, i) * n);
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/** start, start + step, …, with the end put in as it is. */
function line(start: number, end: number, n: number): number[] {
  const step = (end - start) / (n - 1);
  return range(n).map((i) => (i === 0 ? start : i === n - 1 ? end : start + i * step));
}

const cosine = (start: number, end: number, n: number) =>
  range(n).map((i) => end + 0.5 * (start - end) * (1 + Math.cos((Math.PI * i) / n)));

export function scheduleFixtures(salt: string): Record<string, object> {
  const cases = range(6).map((k) => {
    const epochs = 2 + below(salt, 'epochs', 30, k);
    const steps_per_epoch = 1 + below(salt, 'steps', 40, k);
    return { k, epochs, steps_per_epoch, total: epochs * steps_per_epoch, part: below(salt, 'part', epochs + 1, k) };
  });
  const drop = cases.flatMap(({ k, epochs, steps_per_epoch, total, part }) => {
    const drop_rate = 0.01 + 0.9 * unit(salt, 'rate', k);
    const cut = part * steps_per_epoch;
    const early = line(drop_rate, 0, cut);
    const values: Record<string, number[]> = {
      'standard constant': range(total).map(() => drop_rate),
      'early constant': range(total).map((i) => (i < cut ? drop_rate : 0)),
      'early linear': range(total).map((i) => early[i] ?? 0),
      'late constant': range(total).map((i) => (i < cut ? 0 : drop_rate)),
    };
    return Object.entries(values).map(([name, values]) => {
      const [drop_mode, drop_schedule] = name.split(' ');
      return { args: { drop_rate, epochs, steps_per_epoch, cutoff_epoch: part, drop_mode, drop_schedule }, values };
    });
  });
  const rate = cases.map(({ k, epochs, steps_per_epoch, total, part }) => {
    const [lr, min_lr] = [1e-4 + 1e-2 * unit(salt, 'lr', k), 1e-6 * unit(salt, 'min', k)];
    const warm = Math.min(part, epochs - 1) * steps_per_epoch;
    const values = [...(warm === 1 ? [0] : line(0, lr, warm)), ...cosine(lr, min_lr, total - warm)];
    return { args: { lr, min_lr, epochs, steps_per_epoch, warmup_epochs: warm / steps_per_epoch, warmup_steps: -1 }, values };
  });
  const decay = cases.map(({ k, epochs, steps_per_epoch, total }) => {
    const [weight_decay, weight_decay_end] = [unit(salt, 'wd', k), unit(salt, 'wd end', k)];
    return { args: { weight_decay, weight_decay_end, epochs, steps_per_epoch }, values: cosine(weight_decay, weight_decay_end, total) };
  });
  const blocks = cases.map(({ k, epochs }) => {
    const [rate, depth] = [unit(salt, 'block rate', k), epochs + 1];
    return { args: { rate, depth }, values: range(depth).map((block) => (rate * block) / (depth - 1)) };
  });
  const late = { drop_rate: 0.3, epochs: 5, steps_per_epoch: 2, cutoff_epoch: 2, drop_mode: 'late', drop_schedule: 'linear' };
  return {
    drop_rate: { cases: drop, reference_fails_on: [{ args: late, error: 'AssertionError' }] },
    learning_rate: { cases: rate },
    weight_decay: { cases: decay },
    block_rates: { cases: blocks },
  };
}

/** λ·s(y) + (1 − λ)·s(y of the partner), s the smoothed one-hot. */
function targetsOf(labels: readonly number[], lambdas: readonly number[], classes: number, smoothing: number): number[][] {
  const smooth = (label: number) => range(classes).map((c) => smoothing / classes + (c === label ? 1 - smoothing : 0));
  return labels.map((label, i) => {
    const [own, other] = [smooth(label), smooth(labels[labels.length - 1 - i] as number)];
    return own.map((value, c) => lambdas[i]! * value + (1 - lambdas[i]!) * other[c]!);
  });
}

export function lossFixture(salt: string): object {
  const classes = 5 + below(salt, 'classes', 30);
  const samples = 2 + 2 * below(salt, 'samples', 5);
  const logits = range(samples).map((i) => [...fillUnits(`${salt}/logits${i}`, classes)].map((u) => Math.fround(8 * u - 4)));
  const labels = fillLabels(salt, samples, classes);
  const softmax = logits.map((row) => {
    const sum = row.reduce((total, value) => total + Math.exp(value), 0);
    return row.map((value) => Math.exp(value) / sum);
  });
  const lossOf = (smoothing: number, lambda: number) => {
    const targets = targetsOf(
      labels,
      labels.map(() => lambda),
      classes,
      smoothing,
    );
    const loss = softmax.flatMap((row, i) => row.map((p, c) => -targets[i]![c]! * Math.log(p))).reduce((a, b) => a + b, 0) / samples;
    return { smoothing, lambda, loss, gradient: softmax.map((row, i) => row.map((p, c) => (p - targets[i]![c]!) / samples)) };
  };
  const rank = labels.map((label, i) => logits[i]!.filter((value) => value > logits[i]![label]!).length);
  const share = (k: number) => (100 * rank.filter((of) => of < k).length) / samples;
  return {
    salt,
    classes,
    logits,
    labels,
    losses: { plain: lossOf(0, 1), smoothed: lossOf(unit(salt, 'smoothing') / 2, 1), mixed: lossOf(0.1, unit(salt, 'lambda')) },
    metrics: { rank_of_label: rank, acc1: share(1), acc5: share(5) },
    ties: { logits: [logits[0]!.map(() => 1)], labels: [3], rank_by_the_rule: [3], rank_at_best: [0], rank_at_worst: [classes - 1] },
    epoch_mean: { batch_sizes: [5, 3], batch_loss: [2, 4], batch_acc1: [40, 100], acc1: 62.5, loss_weighted: 2.75 },
  };
}

/** mix.json and the bytes of mix.safetensors: each mode with mixup, cutmix and neither. */
export function mixFixture(salt: string): { json: object; tensors: Buffer } {
  const slots = 2 + 2 * below(salt, 'slots', 4);
  const [height, width, classes, smoothing] = [3 + below(salt, 'height', 20), 3 + below(salt, 'width', 20), 4, unit(salt, 'smooth') / 2];
  const labels = fillLabels(salt, slots, classes);
  const input = Float32Array.from(fillUnits(`${salt}/input`, slots * 3 * height * width), (u) => 1.7 * (2 * u - 1));
  const tensors: Tensors = new Map();
  const cases = ['batch', 'pair', 'elem'].flatMap((mode) =>
    ['mixup', 'cutmix', 'unmixed'].map((kind) => {
      const name = `${mode}_${kind}`;
      const entries = mode === 'batch' ? 1 : mode === 'pair' ? slots / 2 : slots;
      const lambda = range(entries).map((k) => (kind === 'unmixed' ? 1 : unit(salt, `${name}/lambda`, k)));
      const centre = range(entries).map((k): [number, number] => [below(salt, `${name}/y`, height, k), below(salt, `${name}/x`, width, k)]);
      const boxes = range(entries).map((k) => (kind === 'cutmix' ? boxOf(lambda[k]!, centre[k]!, height, width) : null));
      const entry = (slot: number) => (mode === 'batch' ? 0 : mode === 'pair' ? Math.min(slot, slots - 1 - slot) : slot);
      const area = ([y0, y1, x0, x1]: number[]) => (y1! - y0!) * (x1! - x0!);
      const used = range(slots).map((slot) => {
        const box = boxes[entry(slot)];
        return box ? 1 - area(box) / (height * width) : lambda[entry(slot)]!;
      });
      const images = input.map((value, at) => {
        const [slot, inside] = [Math.floor(at / (3 * height * width)), at % (3 * height * width)];
        const [y, x] = [Math.floor(inside / width) % height, inside % width];
        const other = input[(slots - 1 - slot) * 3 * height * width + inside]!;
        const box = boxes[entry(slot)];
        if (box) return y >= box[0] && y < box[1] && x >= box[2] && x < box[3] ? other : value;
        return used[slot]! * value + (1 - used[slot]!) * other;
      });
      tensors.set(`${name}/images`, { dtype: 'F32', shape: [slots, 3, height, width], data: images });
      const targets = Float64Array.from(targetsOf(labels, used, classes, smoothing).flat());
      tensors.set(`${name}/targets`, { dtype: 'F64', shape: [slots, classes], data: targets });
      // A box without area mixes nothing, which our plan has no box for.
      const kept = boxes.map((box) => (box && area(box) > 0 ? box : null));
      return {
        name,
        mode,
        lambda,
        cutmix: lambda.map(() => kind === 'cutmix'),
        centre_y_x: centre,
        box_y0_y1_x0_x1: kept,
        lambda_used: used,
      };
    }),
  );
  return { json: { salt, shape: [slots, 3, height, width], classes, smoothing, labels, cases }, tensors: safetensors(tensors) };
}

/** Sides int(side · √(1 − λ)), half of it to both sides of the centre, cut at the edges. */
function boxOf(lambda: number, [y, x]: [number, number], height: number, width: number): [number, number, number, number] {
  const half = (side: number) => Math.floor(Math.floor(side * Math.sqrt(1 - lambda)) / 2);
  const [h, w] = [half(height), half(width)];
  return [Math.max(0, y - h), Math.min(height, y + h), Math.max(0, x - w), Math.min(width, x + w)];
}

export type Tensors = Map<string, { dtype: 'F64' | 'F32' | 'U8'; shape: number[]; data: Float64Array | Float32Array | Uint8Array }>;

export function safetensors(tensors: Tensors): Buffer {
  let at = 0;
  const header: Record<string, object> = {};
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + data.byteLength] };
    at += data.byteLength;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([
    length,
    text,
    ...[...tensors.values()].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  ]);
}
