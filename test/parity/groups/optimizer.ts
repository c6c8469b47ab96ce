/** optimizer.json: five steps of every case, clipping and EMA. */
import { type OptimizerFile, optimizerChecks } from '../../support/steered-model.js';
import { listed, onFloat32, type ParitySource } from '../parity-case.js';

export const optimizer: ParitySource = {
  group: 'optimizer',
  file: /^optimizer\.json$/,
  cases(file, context) {
    const { cases, ema } = context.folder.json<OptimizerFile>(file);
    const lost = ema.find(({ follows }) => !cases.some((one) => one.case.name === follows));
    if (lost !== undefined) throw new Error(`${file}: an EMA follows ${lost.follows}, which is no case`);
    return listed(file, 'cases', cases).map(({ case: settings, steps }) => {
      listed(file, `steps of ${settings.name}`, steps);
      return onFloat32(context, `optimizer/${settings.name}`, () => optimizerChecks(context.folder, settings.name, context.engine));
    });
  },
};
