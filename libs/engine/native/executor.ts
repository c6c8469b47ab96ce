import { type Executor, ExecutorUnavailable } from '../executor.js';
export const nativeExecutor: Executor = {
  load: async () => {
    throw new ExecutorUnavailable('native', 'not yet');
  },
  missing: async () => 'not yet',
};
