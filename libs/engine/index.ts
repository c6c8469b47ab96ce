/** The engine's public interface. */
export { type ChosenEngine, chooseEngine, planOnEngine } from './automatic.js';
export { listExecutors, missingFor } from './choose.js';
export { type CompileOptions, type CompileShapes, compile, type PlannedProgram, planProgram } from './compile.js';
export { type EngineName, type ExecutorName, executorNames, executorOf, UnknownExecutor } from './engines.js';
export { StepCancelled } from './executable.js';
export { ExecutorUnavailable, type Gpu } from './executor.js';
export type { Fingerprint } from './fingerprint.js';
export { leafRanges, type Subtree, subtreesWithin } from './gradient-tree.js';
export { HostImages, type ImagePreparation, type PreparedImages } from './images.js';
export { afterStep, firstLossScaling, type LossScaling } from './loss-scaling.js';
export type { Precision } from './precision.js';
export type {
  LeafRequest,
  NamedTensor,
  OptimizerStep,
  ParameterInfo,
  Program,
  ProgramState,
  StepRandom,
  StepRequest,
  StepResult,
} from './program.js';
export { forgetTuning, type TunedProduct, tunedEngines, tunedPrecisions, tuneEngine } from './tune.js';
