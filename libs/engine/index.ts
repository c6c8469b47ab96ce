/** The engine's public face. */
export { listExecutors } from './choose.js';
export { type CompileOptions, type CompileShapes, compile } from './compile.js';
export { type ExecutorName, executorNames, executorOf, UnknownExecutor } from './engines.js';
export { ExecutorUnavailable } from './executor.js';
export { type Precision, precisions } from './precision.js';
export type {
  Fingerprint,
  NamedTensor,
  OptimizerStep,
  ParameterInfo,
  Program,
  ProgramState,
  StepRandom,
  StepRequest,
  StepResult,
} from './program.js';
