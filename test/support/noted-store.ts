/** A store that notes every call, as `operation key`. */
import type { ObjectStore } from '#storage/object-store.js';

export interface NotedStore {
  readonly store: ObjectStore;
  readonly calls: string[];
  /** Calls whose note matches. */
  count(pattern: RegExp): number;
}

export function notedStore(real: ObjectStore): NotedStore {
  const calls: string[] = [];
  const store = new Proxy(real, {
    get(target, property) {
      const value = Reflect.get(target, property) as unknown;
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        calls.push(`${String(property)} ${String(args[0])}`);
        return (value as (...of: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  return { store, calls, count: (pattern) => calls.filter((call) => pattern.test(call)).length };
}
