/**
 * Layer decay for finetuning ConvNeXt: the learning rate of a parameter is multiplied by d^(13 − id), where id counts layers from the stem. Same as
 * the reference for its models of depths 3, 3, 27, 3; other models are rejected, as there.
 */

const MODELS: readonly string[] = ['convnext_small', 'convnext_base', 'convnext_large', 'convnext_xlarge'];
/** Id of everything after the last stage. */
const LAST = 13;
/** Ids of the stem and the three downsamplings. */
const DOWNSAMPLE_IDS = [0, 2, 3, 12];

export function hasLayerDecay(model: string): boolean {
  return MODELS.includes(model);
}

/** Id of a parameter's layer, 0 to 13. */
export function layerId(name: string): number {
  const [, kind, stage = '', block = ''] = /^(downsample_layers|stages)\.(\d+)\.(\d+)\./.exec(name) ?? [];
  if (kind === undefined) return LAST;
  const id = kind === 'stages' ? [1, 2, 3 + Math.floor(Number(block) / 3), 12][Number(stage)] : DOWNSAMPLE_IDS[Number(stage)];
  if (id === undefined) throw new RangeError(`${name} is not in a stage of a model with layer decay`);
  return id;
}

/**
 * Factor of every parameter's learning rate, in order. A `decay` of 1 means no layer decay and is allowed for any model. Throws RangeError for other
 * models.
 */
export function layerDecayScales(model: string, names: readonly string[], decay: number): number[] {
  if (decay === 1) return names.map(() => 1);
  if (!hasLayerDecay(model)) throw new RangeError(`layer decay is not supported for ${model}; supported: ${MODELS.join(', ')}`);
  return names.map((name) => decay ** (LAST - layerId(name)));
}
