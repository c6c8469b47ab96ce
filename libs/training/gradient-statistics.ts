/**
 * Statistics of the directions of mini-batch gradients, as in section 3 of "Dropout Reduces Underfitting": how far they point from each other, and from the
 * gradient of the whole set without dropout. They are sums over the mini-batches, so that no gradient is kept:
 *
 * - with uᵢ = gᵢ/‖gᵢ‖ and S = Σ uᵢ, the sum of the cosines of all pairs is (‖S‖² − n)/2, the direction variance is their mean distance;
 * - the sum of the cosines to the whole-set gradient ĝ is S·ĝ/‖ĝ‖, the direction error is the mean distance.
 *
 * A block has its own unit vectors, so there are two sums of the size of the gradient, besides ĝ. They are formed in the order of parameters, elements and
 * mini-batches, and rounded to fp32; their bits depend on the gradients' alone.
 */
import type { Program, StepRequest } from '#engine/index.js';

/** What is used of a Program. */
export type GradientProgram = Pick<Program, 'parameters' | 'accumulate' | 'update' | 'read'>;

/** One mini-batch, which is not a part of a larger step. */
export type MiniBatch = Omit<StepRequest['microBatches'][number], 'firstSample'>;

/** Cosine distances ½·(1 − cos): 0 for equal directions, ½ for orthogonal and 1 for opposite ones. Absent if too few gradients have a direction. */
export interface DirectionStatistics {
  /** Mini-batches whose gradient is not zero; only these have a direction. */
  readonly batches: number;
  /** Mean distance of two mini-batch gradients. */
  readonly variance: number | undefined;
  /** Mean distance to the whole-set gradient. */
  readonly error: number | undefined;
  /** Mean L2 norm of all mini-batch gradients. */
  readonly norm: number;
}

export interface GradientStatistics extends DirectionStatistics {
  readonly blocks: ReadonlyMap<string, DirectionStatistics>;
  /** Mean loss over the mini-batches. */
  readonly loss: number;
}

/** A gradient is not finite. It would be in no direction. */
export class NonFiniteGradient extends Error {
  override readonly name = 'NonFiniteGradient';
  constructor(readonly parameter: string) {
    super(`the gradient of ${parameter} is not finite, so it has no direction`);
  }
}

/** The part of the model that a parameter belongs to: its name up to the last number, or its first word. `blocks.3.attn.qkv.weight`: `blocks.3`. */
export function blockOf(parameter: string): string {
  const words = parameter.split('.');
  const last = words.findLastIndex((word) => /^\d+$/.test(word));
  return words.slice(0, Math.max(1, last + 1)).join('.');
}

/** The gradient of the mean loss of one batch; afterwards the program holds it until its next step. @returns the mean loss. @throws StepCancelled */
export async function computeGradient(program: GradientProgram, batch: MiniBatch, random: StepRequest['random']): Promise<number> {
  const microBatches = [{ ...batch, firstSample: 0 }];
  const { losses } = await program.accumulate({ microBatches, random, lossScale: 1 / batch.samples, leaf: 0, leaves: 1 });
  await program.update();
  return losses.reduce((sum, loss) => sum + loss, 0) / batch.samples;
}

/** The gradient of the mean loss of a whole set, from those of its batches. */
export class WholeGradient {
  readonly #sums: Map<string, Float32Array>;
  #samples = 0;

  constructor(private readonly program: GradientProgram) {
    this.#sums = zeros(program);
  }

  /** Adds the gradient that the program holds. */
  async add(samples: number): Promise<void> {
    this.#samples += samples;
    await eachGradient(this.program, (name, values) => {
      const sum = this.#sums.get(name)!;
      for (let i = 0; i < values.length; i++) sum[i]! += samples * values[i]!;
    });
  }

  /** The values of a parameter's gradient times the number of samples; their direction is that of the gradient. */
  of(parameter: string): Float32Array {
    return this.#sums.get(parameter)!;
  }

  get samples(): number {
    return this.#samples;
  }

  /** L2 norm of the gradient, of the whole model and by block. */
  norms(): { readonly norm: number; readonly blocks: ReadonlyMap<string, number> } {
    const squares = new Squares();
    for (const { name } of this.program.parameters) squares.add(name, this.of(name));
    const norm = (square: number) => Math.sqrt(square) / this.#samples;
    return { norm: norm(squares.total), blocks: new Map([...squares.blocks].map(([block, square]) => [block, norm(square)])) };
  }
}

/** Takes one mini-batch gradient after the other. */
export class DirectionSums {
  readonly #whole: Map<string, Float32Array>;
  readonly #byBlock: Map<string, Float32Array>;
  readonly #norms = new Tally();
  readonly #blockNorms = new Map<string, Tally>();
  #losses = 0;

  constructor(private readonly program: GradientProgram) {
    this.#whole = zeros(program);
    this.#byBlock = zeros(program);
    for (const { name } of program.parameters) this.#blockNorms.set(blockOf(name), new Tally());
  }

  /** Adds the gradient that the program holds. @throws NonFiniteGradient */
  async add(loss: number): Promise<void> {
    const squares = new Squares();
    await eachGradient(this.program, (name, values) => squares.add(name, values));
    this.#losses += loss;
    this.#norms.add(Math.sqrt(squares.total));
    for (const [block, square] of squares.blocks) this.#blockNorms.get(block)!.add(Math.sqrt(square));
    if (squares.total === 0) return;
    const scale = 1 / Math.sqrt(squares.total);
    await eachGradient(this.program, (name, values) => {
      const [whole, byBlock] = [this.#whole.get(name)!, this.#byBlock.get(name)!];
      const square = squares.blocks.get(blockOf(name))!;
      const blockScale = square === 0 ? 0 : 1 / Math.sqrt(square);
      for (let i = 0; i < values.length; i++) {
        whole[i]! += scale * values[i]!;
        byBlock[i]! += blockScale * values[i]!;
      }
    });
  }

  statistics(reference: WholeGradient): GradientStatistics {
    const [whole, byBlock] = [new Products(), new Products()];
    for (const { name } of this.program.parameters) {
      whole.add(name, this.#whole.get(name)!, reference.of(name));
      byBlock.add(name, this.#byBlock.get(name)!, reference.of(name));
    }
    const blocks = [...this.#blockNorms].map(([block, norms]) => [block, directions(norms, byBlock.of(block))] as const);
    return { ...directions(this.#norms, whole.all()), blocks: new Map(blocks), loss: this.#losses / this.#norms.count };
  }
}

function directions(norms: Tally, { square, product, reference }: Product): DirectionStatistics {
  const n = norms.nonZero;
  return {
    batches: n,
    variance: n < 2 ? undefined : (1 - (square - n) / (n * (n - 1))) / 2,
    error: n < 1 || reference === 0 ? undefined : (1 - product / (n * Math.sqrt(reference))) / 2,
    norm: norms.sum / norms.count,
  };
}

/** Norms: how many, how many above zero, and their sum. */
class Tally {
  count = 0;
  nonZero = 0;
  sum = 0;

  add(norm: number): void {
    this.count++;
    if (norm > 0) this.nonZero++;
    this.sum += norm;
  }
}

/** Sums of squares in float64, by block. */
class Squares {
  readonly blocks = new Map<string, number>();

  add(parameter: string, values: ArrayLike<number>): void {
    let square = 0;
    for (let i = 0; i < values.length; i++) square += values[i]! * values[i]!;
    if (!Number.isFinite(square)) throw new NonFiniteGradient(parameter);
    const block = blockOf(parameter);
    this.blocks.set(block, (this.blocks.get(block) ?? 0) + square);
  }

  get total(): number {
    return [...this.blocks.values()].reduce((sum, square) => sum + square, 0);
  }
}

interface Product {
  /** ‖S‖², S·ĝ and ‖ĝ‖². */
  readonly square: number;
  readonly product: number;
  readonly reference: number;
}

class Products {
  readonly #blocks = new Map<string, Product>();

  add(parameter: string, sums: ArrayLike<number>, reference: ArrayLike<number>): void {
    let [square, product, other] = [0, 0, 0];
    for (let i = 0; i < sums.length; i++) {
      square += sums[i]! * sums[i]!;
      product += sums[i]! * reference[i]!;
      other += reference[i]! * reference[i]!;
    }
    const block = blockOf(parameter);
    this.#blocks.set(block, added(this.of(block), { square, product, reference: other }));
  }

  of(block: string): Product {
    return this.#blocks.get(block) ?? { square: 0, product: 0, reference: 0 };
  }

  all(): Product {
    return [...this.#blocks.values()].reduce(added, { square: 0, product: 0, reference: 0 });
  }
}

const added = (a: Product, b: Product): Product => ({
  square: a.square + b.square,
  product: a.product + b.product,
  reference: a.reference + b.reference,
});

const zeros = ({ parameters }: GradientProgram): Map<string, Float32Array> =>
  new Map(parameters.map(({ name, shape }) => [name, new Float32Array(shape.reduce((product, size) => product * size, 1))]));

/** One parameter after the other, so that only one is copied at a time. */
async function eachGradient(program: GradientProgram, use: (name: string, values: Float32Array) => void): Promise<void> {
  for (const { name } of program.parameters) use(name, await program.read('gradients', name));
}
