/** The runs that the newest list had, so that the page of one of them begins with what is known. */
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import type { Json } from './json.js';
import { token } from './token.js';

let seen: { readonly by: string; readonly runs: readonly Json<Run>[] } = { by: '', runs: [] };

export function tellSeen(runs: readonly Json<Run>[]): void {
  seen = { by: token.get(), runs };
}

/** What another caller has seen is not shown. */
export const seenRun = (name: string): Json<Run> | undefined =>
  seen.by === token.get() ? seen.runs.find((run) => run.name === name) : undefined;
