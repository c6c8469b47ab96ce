/** The engine's public interface. */
export { listExecutors } from './choose.js';
export { type CompileOptions, type CompileShapes, compile, fingerprintOf } from './compile.js';
export { type EngineName, type ExecutorName, executorNames, executorOf, UnknownExecutor } from './engines.js';
export { StepCancelled } from './executable.js';
export { ExecutorUnavailable } from './executor.js';
export type { Fingerprint } from './fingerprint.js';
export { leafRanges, subtreesWithin } from './gradient-tree.js';
export { type Precision, precisions } from './precision.js';
export type {
  LeafRequest,
  NamedTensor,
  OptimizerStep,
  Program,
  ProgramState,
  StepRequest,
} from './program.js';
