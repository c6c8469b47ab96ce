/** Reports the temporary files and empty folders of a directory store. */
import { type Leftover, leftoversBelow, removeLeftover } from '#storage/directory-leftovers.js';
import { type CheckContext, reportWhenOld } from './check-context.js';

export async function checkLeftovers(context: CheckContext, root: string): Promise<void> {
  for await (const leftover of leftoversBelow(root, context.signal)) {
    const { kind, path, changedMs } = leftover;
    const detail = `last changed ${new Date(changedMs).toISOString()}`;
    reportWhenOld(context, { kind, where: path, detail, repair: () => remove(leftover) }, { writtenMs: changedMs });
  }
}

async function remove(leftover: Leftover): Promise<string> {
  return (await removeLeftover(leftover)) ? 'deleted' : 'left alone: it is gone or in use now';
}
