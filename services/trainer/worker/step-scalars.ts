/** What a step needs besides its images: the randomness of its drops, and the scalars of its optimizer. Pure functions of spec, step and rates. */
import type { OptimizerStep, ParameterInfo, StepRandom } from '#engine/index.js';
import { layerDecayScales } from '#nn/layer-decay.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { blockRates } from '#schedule/index.js';
import { optimizers } from '#spec/words.js';
import type { StepRates } from '../run/run-rates.js';
import type { ResolvedSpec } from '../run/run-spec.js';

export interface ScalarsOptions {
  readonly program: { readonly parameters: readonly ParameterInfo[]; readonly blocks: number };
  readonly spec: ResolvedSpec;
  readonly dropKind: DropKind;
}

export class StepScalars {
  readonly #options: ScalarsOptions;
  readonly #learningRateScale: ArrayLike<number>;

  constructor(options: ScalarsOptions) {
    this.#options = options;
    const { program, spec } = options;
    const names = program.parameters.map(({ name }) => name);
    this.#learningRateScale = layerDecayScales(spec.model, names, spec.layerDecay);
  }

  random(step: number, { dropRate }: StepRates): StepRandom {
    const { spec, dropKind, program } = this.#options;
    const path = dropKind === DropKind.DROP_PATH;
    return {
      seed: spec.seed,
      step,
      dropout: path ? 0 : dropRate,
      ...(path && program.blocks > 0 ? { blockRates: [...blockRates(dropRate, program.blocks)] } : {}),
    };
  }

  /** `step`: without those that the optimizer skipped. */
  optimizer(step: number, { lr, weightDecay }: StepRates): OptimizerStep {
    const { spec } = this.#options;
    const [beta1, beta2] = spec.optBetas as [number, number];
    return {
      kind: optimizers.wordOf(spec.opt),
      beta1,
      beta2,
      eps: spec.optEps,
      momentum: spec.momentum,
      step: step + 1,
      clip: spec.clipGrad ?? 0,
      learningRate: lr,
      learningRateScale: this.#learningRateScale,
      weightDecay,
      emaDecay: spec.modelEma ? spec.modelEmaDecay : -1,
    };
  }
}
