/** A store that counts what is read from it, and can be cut off. */
import { type ObjectStore, StoreUnavailable } from '#storage/object-store.js';

export interface CountedStore extends ObjectStore {
  readonly counts: { gets: number; ranges: number; heads: number; puts: number; bytes: number };
  isCutOff: boolean;
}

export function countedStore(store: ObjectStore): CountedStore {
  const counts = { gets: 0, ranges: 0, heads: 0, puts: 0, bytes: 0 };
  const calls: Partial<Record<keyof ObjectStore, keyof typeof counts>> = { get: 'gets', getRange: 'ranges', head: 'heads', put: 'puts' };
  const own = { counts, isCutOff: false };
  return new Proxy(store, {
    get(target, property) {
      if (property in own) return own[property as keyof typeof own];
      const value = Reflect.get(target, property) as unknown;
      if (typeof value !== 'function') return value;
      return async (...args: unknown[]) => {
        if (own.isCutOff) throw new StoreUnavailable('cut off', true);
        const counter = calls[property as keyof ObjectStore];
        if (counter) counts[counter]++;
        const result: unknown = await value.apply(target, args);
        if (property === 'getRange') counts.bytes += (result as Buffer).byteLength;
        return result;
      };
    },
    set(_, property, value) {
      if (property !== 'isCutOff') return false;
      own.isCutOff = value as boolean;
      return true;
    },
  }) as CountedStore;
}
