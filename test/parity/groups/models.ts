/** models/, models_full/ and trajectories/ on the engine. */
import { modelNames } from '#nn/models/registry.js';
import { type FullFile, fullChecks, modelOf, modesOf, type ReducedFile, reducedChecks } from '../../support/golden-model.js';
import { trajectoryChecks } from '../../support/golden-trajectory.js';
import { listed, onEngine, type ParitySource } from '../parity-case.js';

const nameOf = (file: string) => /([^/]+)\.json$/.exec(file)![1] as string;
const jsonOf = (file: string) => (file.endsWith('.safetensors') ? file.replace(/safetensors$/, 'json') : undefined);

export const models: ParitySource = {
  group: 'models',
  file: /^models\/[^/]+\.json$/,
  companionOf: (file) => (file.startsWith('models/') ? jsonOf(file) : undefined),
  cases(file, context) {
    const golden = context.folder.json<ReducedFile>(file);
    const unknown = Object.keys(golden.modes).filter((mode) => !(modesOf(golden) as string[]).includes(mode));
    if (unknown.length > 0) throw new Error(`${file}: modes ${unknown.join(', ')} are not known`);
    return listed(file, 'modes', modesOf(golden)).map((mode) => {
      const name = `models/${nameOf(file)} ${mode}`;
      return onEngine(context, name, () => reducedChecks(context.folder, nameOf(file), mode, context.engine));
    });
  },
};

export const modelsFull: ParitySource = {
  group: 'models_full',
  file: /^models_full\/[^/]+\.json$/,
  companionOf: (file) => (file === 'models_full/logits.safetensors' ? 'models_full/*.json' : undefined),
  cases(file, context) {
    const { config, grads } = context.folder.json<FullFile>(file);
    const name = nameOf(file);
    const parity = `models_full/${name}`;
    listed(file, 'gradients', Object.keys(grads));
    if (context.engine.executor === 'tfjs-cpu') return [{ name: parity, skip: 'a full-size model takes minutes on the cpu engine' }];
    // By its name where the registry has it: the registry's sizes are what is compared. Else by its config.
    const registered = /^[^+@]+/.exec(name)![0];
    const model = modelNames().includes(registered) ? registered : modelOf(config);
    return [onEngine(context, parity, () => fullChecks(context.folder, name, model, context.engine))];
  },
};

export const trajectories: ParitySource = {
  group: 'trajectories',
  file: /^trajectories\/[^/]+\.json$/,
  companionOf: (file) => (file.startsWith('trajectories/') ? jsonOf(file) : undefined),
  cases(file, context) {
    const { steps } = context.folder.json<{ steps: unknown[] }>(file);
    listed(file, 'steps', steps);
    const name = `trajectories/${nameOf(file)}`;
    return [onEngine(context, name, () => trajectoryChecks(context.folder, nameOf(file), context.engine))];
  },
};
