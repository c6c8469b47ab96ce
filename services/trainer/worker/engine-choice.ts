/** The executor that a spec's `engine` names. */
import type { ExecutorName } from '#engine/index.js';

export function executorOf(engine: string): ExecutorName {
  if (engine === 'tensorflow') return 'tfjs-tensorflow';
  return engine === 'tfjs' ? 'tfjs-cpu' : 'native';
}
