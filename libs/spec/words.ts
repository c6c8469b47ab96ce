/** The enums of specs and plans, with their words and defaults. */
import { EraseMode, MixupMode, SampleOrder, TrainInterpolation } from '#protocol/dropstream/v1/data.js';
import { Engine, Precision } from '#protocol/dropstream/v1/engine_types.js';
import { Optimizer, type RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { DropCutoff, DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { enumWords } from './enum-words.js';

const half = 'float16 is called f16, and only the engine webgpu has it';
const otherWords = new Map(['fp16', 'float16', 'half'].map((word) => [word, half]));

export const dropKinds = enumWords(DropKind, 'DROP_KIND', 'dropout');
export const dropModes = enumWords(DropMode, 'DROP_MODE', 'standard');
export const dropSchedules = enumWords(DropSchedule, 'DROP_SCHEDULE', 'constant');
export const dropCutoffs = enumWords(DropCutoff, 'DROP_CUTOFF', 'fixed');
export const optimizers = enumWords(Optimizer, 'OPTIMIZER', 'adamw');
export const engines = enumWords(Engine, 'ENGINE', 'native');
export const precisions = enumWords(Precision, 'PRECISION', 'fp32', otherWords);
export const trainInterpolations = enumWords(TrainInterpolation, 'TRAIN_INTERPOLATION', 'bicubic');
export const eraseModes = enumWords(EraseMode, 'ERASE_MODE', 'pixel');
export const mixupModes = enumWords(MixupMode, 'MIXUP_MODE', 'batch');
export const sampleOrders = enumWords(SampleOrder, 'SAMPLE_ORDER', 'shuffled');

/** The fields of RunSpec that are enums. */
export const runSpecEnums = {
  dropMode: dropModes,
  dropSchedule: dropSchedules,
  cutoff: dropCutoffs,
  opt: optimizers,
  trainInterpolation: trainInterpolations,
  remode: eraseModes,
  mixupMode: mixupModes,
  engine: engines,
  precision: precisions,
} as const satisfies Partial<Record<keyof RunSpec, unknown>>;

export const isRunSpecEnum = (field: string): field is keyof typeof runSpecEnums => Object.hasOwn(runSpecEnums, field);
