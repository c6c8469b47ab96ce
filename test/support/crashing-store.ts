/** A store as a process sees it that dies before its n-th write (put, replace or delete): that call and all later ones fail. */
import type { ObjectStore } from '#storage/object-store.js';

export class Crash extends Error {
  override readonly name = 'Crash';
}

export interface CrashingStore {
  readonly store: ObjectStore;
  /** Number of writes that happened. */
  readonly writes: number;
  readonly crashed: boolean;
}

const writing = new Set<PropertyKey>(['put', 'replace', 'delete']);

/** @param survives number of writes before the crash */
export function crashingStore(inner: ObjectStore, survives: number): CrashingStore {
  let writes = 0;
  let crashed = false;
  const store = new Proxy(inner, {
    get(target, key) {
      const member = Reflect.get(target, key) as unknown;
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]) => {
        if (writing.has(key) && writes === survives) crashed = true;
        if (crashed) throw new Crash('the process died');
        if (writing.has(key)) writes++;
        return await (member as (...a: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  return {
    store,
    get writes() {
      return writes;
    },
    get crashed() {
      return crashed;
    },
  };
}
