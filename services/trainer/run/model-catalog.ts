/** The models of libs/nn, as the rules of a run spec ask about them. */
import { hasLayerDecay } from '#nn/layer-decay.js';
import type { Model } from '#nn/model.js';
import { defaultImageSize, modelConfig, modelFamily, modelNames, UnknownModel } from '#nn/models/registry.js';
import type { ModelCatalog, ResolvedSpec } from './run-spec.js';

/** The model that a run trains. */
export function modelOf(spec: ResolvedSpec): Model {
  const { model, inputSize, nbClasses, layerScaleInitValue, headInitScale } = spec;
  return modelConfig(model, { imageSize: inputSize, classes: nbClasses }, { layerScaleInitValue, headInitScale });
}

export const modelCatalog: ModelCatalog = {
  names: modelNames(),
  inputSize: defaultImageSize,
  family: modelFamily,
  takes(model) {
    const convnext = modelFamily(model) === 'convnext';
    return { dropout: !convnext, initOptions: convnext, layerDecay: hasLayerDecay(model) };
  },
  refusal(model, inputSize, classes) {
    try {
      modelConfig(model, { imageSize: inputSize, classes });
      return undefined;
    } catch (error) {
      if (!(error instanceof UnknownModel)) throw error;
      return { field: error.field === 'classes' ? 'nb_classes' : 'input_size', allowed: error.allowed };
    }
  },
};
