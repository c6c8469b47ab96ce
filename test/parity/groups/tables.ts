/** tables/: names, shapes, counts, groups and starting values of the registry's models. */
import { trace } from '#graph/trace.js';
import { initialValues } from '#nn/initialisation.js';
import { layerDecayScales, layerId } from '#nn/layer-decay.js';
import { modelConfig } from '#nn/models/registry.js';
import { biasRows, windowRegions } from '#nn/ops/window-attention.js';
import { elements, type Parameter } from '#nn/tensor.js';
import { decays } from '#nn/weight-decay-groups.js';
import { absolute, type Check, holds, relative, same } from '../../support/checks.js';
import { listed, type ParityCase, type ParitySource } from '../parity-case.js';

const IMAGE = 224;
const CLASSES = 1000;

function parametersOf(name: string, imageSize = IMAGE, classes = CLASSES): readonly Parameter[] {
  return trace(modelConfig(name, { imageSize, classes }), { channels: 3, imageSize, classes }).parameters;
}

const count = (parameters: readonly Parameter[]) => parameters.reduce((sum, { shape }) => sum + elements(shape), 0);

/** One case for each model of a table; `key` starts with the model's name. */
function perModel<T>(table: string, entries: Record<string, T>, run: (model: string, entry: T, key: string) => Check[]): ParityCase[] {
  return listed(`tables/${table}.json`, 'models', Object.entries(entries)).map(([key, entry]) => {
    const model = key.replace(/@.*$/, '');
    return { name: `tables/${table} ${key}`, run: () => run(model, entry, key) };
  });
}

/** A source of one table. `pick`: where its models are. */
function table<T>(name: string, run: (model: string, entry: T, key: string) => Check[]): ParitySource {
  return {
    group: 'tables',
    file: new RegExp(`^tables/${name}\\.json$`),
    cases: (file, { folder }) => perModel(name, folder.json<Record<string, T>>(file), run),
  };
}

interface Parameters {
  count: number;
  tensors: number;
  params: Record<string, number[]>;
}

const parameterTable = table<Parameters>('parameters', (model, expected) => {
  const parameters = parametersOf(model);
  return [
    same(
      'names, shapes and order',
      parameters.map(({ name, shape }) => [name, [...shape]]),
      Object.entries(expected.params),
    ),
    same('tensors', parameters.length, expected.tensors),
    same('count', count(parameters), expected.count),
  ];
});

const sizeTable = table<{ count: number; changed: Record<string, number[]> }>('other_sizes', (model, expected, key) => {
  const [, imageSize, classes] = /@(\d+)\/(\d+)$/.exec(key) ?? [];
  if (imageSize === undefined) throw new Error(`${key} is not model@size/classes`);
  const parameters = parametersOf(model, Number(imageSize), Number(classes));
  const usual = new Map(parametersOf(model).map(({ name, shape }) => [name, shape.join()]));
  const changed = parameters.filter(({ name, shape }) => usual.get(name) !== shape.join());
  return [
    same(
      'changed shapes',
      changed.map(({ name, shape }) => [name, [...shape]]),
      Object.entries(expected.changed),
    ),
    same('count', count(parameters), expected.count),
  ];
});

const decayTable = table<{ decayed: string[]; not_decayed: string[] }>('weight_decay_groups', (model, expected) => {
  const parameters = parametersOf(model);
  const names = (decayed: boolean) => parameters.filter(({ name, shape }) => decays(name, shape) === decayed).map(({ name }) => name);
  return [
    same('not decayed', names(false).sort(), expected.not_decayed.toSorted()),
    same('decayed', names(true).sort(), expected.decayed.toSorted()),
  ];
});

const layerDecayTable: ParitySource = {
  group: 'tables',
  file: /^tables\/layer_decay\.json$/,
  cases(file, { folder }) {
    type Golden = { layer_decay: number; models: Record<string, Record<string, [id: number, scale: number]>> };
    const golden = folder.json<Golden>(file);
    return perModel('layer_decay', golden.models, (model, expected) => {
      const names = parametersOf(model).map(({ name }) => name);
      const scales = layerDecayScales(model, names, golden.layer_decay);
      return [
        same('parameters', names.toSorted(), Object.keys(expected).sort()),
        ...names.flatMap((name, k) => [
          same(`layer of ${name}`, layerId(name), expected[name]?.[0]),
          relative(`scale of ${name}`, scales[k]!, expected[name]?.[1] ?? Number.NaN, 1e-12),
        ]),
      ];
    });
  },
};

interface Moments {
  mean: number;
  std: number;
  min: number;
  max: number;
  size: number;
}

const initialisationTable = table<Record<string, Moments>>('initialisation', (model, expected) => {
  const parameters = parametersOf(model);
  const named = same('parameters', parameters.map(({ name }) => name).sort(), Object.keys(expected).sort());
  return [named, ...parameters.flatMap((parameter) => (named.error === 0 ? startChecks(parameter, expected[parameter.name]!) : []))];
});

/** Both sides are draws: a std over n values is good to 1/√(2n), a mean to std/√n; five times their difference's deviation. */
function startChecks(parameter: Parameter, expected: Moments): Check[] {
  const { name } = parameter;
  const values = initialValues(parameter, 1n);
  const n = values.length;
  let [sum, squares, min, max] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [sum, min, max] = [sum + value, Math.min(min, value), Math.max(max, value)];
  const mean = sum / n;
  for (const value of values) squares += (value - mean) ** 2;
  const std = Math.sqrt(squares / n);
  const size = same(`${name}: size`, n, expected.size);
  if (expected.std === 0 || parameter.initializer.kind === 'constant') {
    // A constant, rounded to float32 once on each side.
    const equal = (what: string, actual: number, wanted: number) =>
      absolute(`${name}: ${what}`, actual, wanted, 1e-6 * Math.abs(expected.mean));
    return [
      size,
      equal('least', min, expected.min),
      equal('greatest', max, expected.max),
      equal('std', std, 0),
      equal('std there', expected.std, 0),
    ];
  }
  const bound = Math.max(Math.abs(expected.min), expected.max);
  const reach = Math.max(Math.abs(min), max);
  return [
    size,
    relative(`${name}: std`, std, expected.std, 5 / Math.sqrt(n)),
    absolute(`${name}: mean`, mean, expected.mean, (5 * Math.SQRT2 * expected.std) / Math.sqrt(n)),
    parameter.initializer.kind === 'uniform'
      ? // The n-th part of the interval is where the largest of n draws lies; both ends, both sides.
        { what: `${name}: bound`, error: Math.abs(reach / bound - 1), tolerance: 60 / n }
      : { what: `${name}: largest`, error: Math.abs(reach - bound) / expected.std, tolerance: 3 },
  ];
}

const swinBuffers: ParitySource = {
  group: 'tables',
  file: /^tables\/swin_buffers\.safetensors$/,
  cases(file, { folder }) {
    const tensors = folder.tensors(file);
    return listed(file, 'tensors', tensors.names).map((name): ParityCase => {
      const { shape, data } = tensors.get(name);
      return { name: `tables/swin_buffers ${name}`, run: () => bufferChecks(name, shape, data) };
    });
  },
};

/** relative_position_index [w², w²], or shift_mask_SIDE [windows, w², w²]: 1 between what only the roll joined. */
function bufferChecks(name: string, shape: readonly number[], data: ArrayLike<number>): Check[] {
  const size = shape.at(-1)!;
  const window = Math.sqrt(size);
  if (name === 'relative_position_index') return [same('rows of the bias table', [...biasRows(window)], Array.from(data))];
  const side = Number(/^shift_mask_(\d+)$/.exec(name)?.[1]);
  if (Number.isNaN(side)) return [holds(`a buffer ${name} is known`, false)];
  const regions = windowRegions({ height: side, width: side, window, shift: Math.floor(window / 2) });
  const mask = Array.from({ length: regions.length * size }, (_, at) => {
    const [row, column] = [Math.floor(at / size), at % size];
    return regions[row] === regions[row - (row % size) + column] ? 0 : 1;
  });
  return [same('mask', mask, Array.from(data))];
}

export const tables: readonly ParitySource[] = [parameterTable, sizeTable, decayTable, layerDecayTable, initialisationTable, swinBuffers];
