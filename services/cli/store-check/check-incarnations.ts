/** Reads which uids a name has had. */
import { DataLoss } from '#errors/errors.js';
import { listAll } from '#storage/object-store.js';
import { decodeIncarnation, type Incarnation } from '#work/incarnations.js';
import { type CheckContext, readObject } from './check-context.js';

const maxBytes = 64 << 10;

/** `current`: what the name belongs to. `deleted`: nobody needs its objects. `unknown`: no incarnation that can be read names it. */
export type UidStatus = 'current' | 'deleted' | 'unknown';

export interface Incarnations {
  /** The highest incarnation that can be read; undefined if there is none. */
  readonly newest: Incarnation | undefined;
  statusOf(uid: string): UidStatus;
}

/** @param tell false to read again without reporting the same findings once more */
export async function readIncarnations(context: CheckContext, name: string, tell = true): Promise<Incarnations> {
  const known = new Map<string, Incarnation>();
  let newest: Incarnation | undefined;
  let last = 0;
  let whole = true;
  const report: CheckContext['report'] = (finding) => {
    whole = false;
    if (tell) context.report(finding);
  };
  const quiet = { ...context, report };
  for await (const { key } of listAll(context.store, `${name}/incarnations/`, { signal: context.signal })) {
    const number = Number(/(\d{8})\.json$/.exec(key)?.[1] ?? 0);
    if (number === 0) continue;
    for (let missing = last + 1; missing < number; missing++) {
      const where = `${name}/incarnations/${String(missing).padStart(8, '0')}.json`;
      report({ kind: 'incarnation-missing', where, detail: `the name goes on with incarnation ${number}` });
    }
    last = number;
    const bytes = await readObject(quiet, key, maxBytes);
    if (bytes === undefined) {
      newest = undefined;
      continue;
    }
    try {
      const found = decodeIncarnation(key, bytes, name, number);
      newest = found;
      known.set(found.uid, found);
    } catch (error) {
      if (!(error instanceof DataLoss)) throw error;
      report({ kind: 'incarnation-unreadable', where: key, detail: error.detail });
      newest = undefined;
    }
  }
  return {
    newest,
    statusOf: (uid) => {
      // While an incarnation is lost, it may be the one that this uid belongs to.
      if (!known.has(uid) || (newest === undefined && known.size > 0)) return 'unknown';
      if (newest?.uid !== uid) return whole ? 'deleted' : 'unknown';
      return newest.deleted ? 'deleted' : 'current';
    },
  };
}
