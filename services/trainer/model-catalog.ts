/** The models of libs/nn, as the rules of a run spec ask about them. */
import { defaultImageSize, modelConfig, modelNames, UnknownModel } from '#nn/models/registry.js';
import type { ModelCatalog } from './run-spec.js';

export const modelCatalog: ModelCatalog = {
  names: modelNames(),
  inputSize: defaultImageSize,
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
