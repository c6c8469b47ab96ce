/** Words for the protos' names. */

/** The last part of a resource name: its id. */
export const idOf = (name: string | undefined): string => name?.split('/').at(-1) ?? '';

/** `projects/P` of a resource name. */
export const projectOf = (name: string): string => name.split('/').slice(0, 2).join('/');

export type RunStateWord = 'queued' | 'running' | 'paused' | 'succeeded' | 'failed' | 'cancelled' | 'unknown';

const states = ['queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'] as const;

/** The word of RUN_STATE_RUNNING: running. */
export function stateWord(state: string | undefined): RunStateWord {
  const word = state?.replace(/^RUN_STATE_/, '').toLowerCase();
  return states.find((known) => known === word) ?? 'unknown';
}

export const hasEnded = (word: RunStateWord): boolean => word === 'succeeded' || word === 'failed' || word === 'cancelled';
