/**
 * A store as a process sees it that stops for a while: frozen, every call waits; thawed, all of them go on, late. Frozen for good it is a
 * process that was killed; thawed it is one that was only paused, whose late writes must do no harm.
 */
import type { ObjectStore } from '#storage/object-store.js';

export interface FreezableStore {
  readonly store: ObjectStore;
  freeze(): void;
  thaw(): void;
  /** From now on every call fails, also those that wait: the owner can be taken down. */
  destroy(): void;
}

export function freezableStore(inner: ObjectStore): FreezableStore {
  let state: 'open' | 'frozen' | 'destroyed' = 'open';
  let waiting: (() => void)[] = [];
  const wake = (): void => {
    for (const go of waiting) go();
    waiting = [];
  };
  const pass = async (): Promise<void> => {
    while (state === 'frozen') await new Promise<void>((resolve) => waiting.push(resolve));
    if (state === 'destroyed') throw new Error('the store of a dead process');
  };
  const store = new Proxy(inner, {
    get(target, key) {
      const member = Reflect.get(target, key) as unknown;
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]) => {
        await pass();
        return await (member as (...a: unknown[]) => unknown).apply(target, args);
      };
    },
  });
  return {
    store,
    freeze: () => {
      state = 'frozen';
    },
    thaw: () => {
      state = 'open';
      wake();
    },
    destroy: () => {
      state = 'destroyed';
      wake();
    },
  };
}
