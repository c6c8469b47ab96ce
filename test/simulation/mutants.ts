/**
 * Faults of the design, planted in what the processes see of the store, so that the product needs no switch for them. The exploration must find each:
 * one that finds nothing proves nothing.
 */
import type { ObjectStore } from '#storage/object-store.js';

export interface Mutant {
  readonly name: string;
  /** What is wrong. */
  readonly about: string;
  readonly plant: (store: ObjectStore) => ObjectStore;
}

/** A store whose calls are made with other arguments, or answered with other values. */
const changed = (store: ObjectStore, part: Partial<ObjectStore>): ObjectStore => ({ ...store, ...part });

const noExclusiveCreate: Mutant = {
  name: 'no-exclusive-create',
  about: 'a create overwrites what another process has created',
  plant: (store) => changed(store, { put: (key, bytes, options) => store.put(key, bytes, { ...options, ifAbsent: false }) }),
};

const UID = /\/[0-9a-f]{32}(?=\/)/;

/** Objects of all incarnations of a name lie side by side, as they did in version 0.1. */
const noUid: Mutant = {
  name: 'no-uid',
  about: 'keys and fences carry the name only',
  plant: (store) => {
    const plain = (key: string): string => key.replace(UID, '');
    return changed(store, {
      put: (key, bytes, options) => store.put(plain(key), bytes, options),
      get: (key, options) => store.get(plain(key), options),
      delete: (key, options) => store.delete(plain(key), options),
      list: async (prefix, options = {}) => {
        const uid = UID.exec(prefix)?.[0];
        const { after } = options;
        const page = await store.list(plain(prefix), { ...options, after: after && plain(after) });
        if (uid === undefined) return page;
        // Who lists below a uid sees the shared keys as those of its own uid.
        const own = (key: string): string => prefix + key.slice(plain(prefix).length);
        const objects = page.objects.map((object) => ({ ...object, key: own(object.key) }));
        return page.next === undefined ? { objects } : { objects, next: own(page.next) };
      },
    });
  },
};

const RECORD = /^(.*\/log\/)(\d{12})$/;

/** A missing record counts as the end of its log: what lies behind it is not listed. */
const holeAccepted: Mutant = {
  name: 'hole-accepted',
  about: 'a missing record is taken for the end of the log',
  plant: (store) =>
    changed(store, {
      list: async (prefix, options = {}) => {
        const page = await store.list(prefix, options);
        const objects = [];
        let last: number | undefined;
        for (const object of page.objects) {
          const digits = RECORD.exec(object.key)?.[2];
          if (digits !== undefined) {
            const expected = (last ?? Number(RECORD.exec(options.after ?? '')?.[2] ?? 0)) + 1;
            if (Number(digits) !== expected) break;
            last = expected;
          }
          objects.push(object);
        }
        return page.next === undefined || objects.length < page.objects.length ? { objects } : { objects, next: page.next };
      },
    }),
};

export const mutants: readonly Mutant[] = [noExclusiveCreate, noUid, holeAccepted];
