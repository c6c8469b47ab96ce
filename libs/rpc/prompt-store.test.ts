// A store that hangs, as a caller sees it who must not wait.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectNotFound, type ObjectStore, StoreSilent } from '#storage/object-store.js';
import { freezableStore } from '../../test/support/freezable-store.js';
import { freshDirectoryStore } from '../../test/support/fresh-store.js';
import { PromptStore } from './prompt-store.js';

const calls: Record<string, (store: ObjectStore) => Promise<unknown>> = {
  put: (store) => store.put('a/new', Buffer.from('1')),
  replace: (store) => store.replace('a/b', Buffer.from('1'), { ifMatch: 'x' }),
  get: (store) => store.get('a/b'),
  getRange: (store) => store.getRange('a/b', 0, 1),
  head: (store) => store.head('a/b'),
  list: (store) => store.list('a/'),
  delete: (store) => store.delete('a/none'),
};

/** The deadline leaves a slow disk time for an fsync. */
async function frozen(operationMs = 1000) {
  const { store } = await freshDirectoryStore();
  await store.put('a/b', Buffer.from('value'));
  const freezable = freezableStore(store);
  return { ...freezable, prompt: new PromptStore(freezable.store, { operationMs, retryMs: 20 }) };
}

for (const [name, call] of Object.entries(calls)) {
  test(`${name} of a store that hangs fails, and works when the store is back`, async () => {
    const { prompt, freeze, thaw } = await frozen();
    await call(prompt).catch((error) => assert.ok(!(error instanceof StoreSilent)));
    freeze();
    await assert.rejects(call(prompt), StoreSilent);
    thaw();
    await eventually(() => call(prompt).catch((error) => assert.ok(!(error instanceof StoreSilent), String(error))));
  });
}

test('while a store hangs, callers do not wait one after the other, and few calls are stuck in it', async () => {
  const { store, freeze, thaw } = await frozen();
  let inside = 0;
  const counted = new Proxy(store, {
    get: (target, key) => {
      const member = Reflect.get(target, key) as unknown;
      if (typeof member !== 'function') return member;
      return (...args: unknown[]) => {
        inside++;
        return ((member as (...a: unknown[]) => Promise<unknown>).apply(target, args) as Promise<unknown>).finally(() => inside--);
      };
    },
  });
  const prompt = new PromptStore(counted, { operationMs: 10, retryMs: 1 });
  freeze();
  for (let k = 0; k < 50; k++) await assert.rejects(prompt.get('a/b'), StoreSilent);
  await assert.rejects(prompt.check('a/'), StoreSilent);
  assert.ok(inside <= 2, `${inside} calls hang`);
  thaw();
  await eventually(() => prompt.check('a/'));
  assert.equal((await prompt.get('a/b')).bytes.toString(), 'value');
});

test('an object that hangs does not stop the others', async () => {
  const { store } = await freshDirectoryStore();
  for (const key of ['good', 'hangs']) await store.put(key, Buffer.from(key));
  const partly = new Proxy(store, {
    get: (target, key) => {
      const member = Reflect.get(target, key) as unknown;
      if (key !== 'get') return typeof member === 'function' ? member.bind(target) : member;
      return (name: string, options: { signal: AbortSignal }) =>
        name === 'good'
          ? target.get(name, options)
          : new Promise((_, reject) => options.signal.addEventListener('abort', () => reject(options.signal.reason)));
    },
  });
  const prompt = new PromptStore(partly, { operationMs: 50, retryMs: 60_000 });
  const hanging = assert.rejects(prompt.get('hangs'), StoreSilent);
  for (let k = 0; k < 20; k++) {
    assert.equal((await prompt.get('good')).bytes.toString(), 'good');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await hanging;
  assert.equal((await prompt.get('good')).bytes.toString(), 'good');
});

test('a slow read that makes progress is not cut off, answers of the store are passed on, and a signal has its own reason', async () => {
  const { store } = await freshDirectoryStore();
  const slow = new Proxy(store, {
    get: (target, key) => {
      const member = Reflect.get(target, key) as unknown;
      if (key !== 'get') return typeof member === 'function' ? member.bind(target) : member;
      return async (name: string, options: { onProgress: () => void }) => {
        for (let k = 0; k < 10; k++) {
          await new Promise((resolve) => setTimeout(resolve, 30));
          options.onProgress();
        }
        return await target.get(name);
      };
    },
  });
  await store.put('a', Buffer.from('1'));
  const prompt = new PromptStore(slow, { operationMs: 200 });
  assert.equal((await prompt.get('a')).bytes.toString(), '1');
  await assert.rejects(prompt.get('none'), ObjectNotFound);
  const reason = new Error('enough');
  await assert.rejects(prompt.get('a', { signal: AbortSignal.abort(reason) }), reason);
});

async function eventually(work: () => Promise<unknown>): Promise<void> {
  for (let left = 200; ; left--) {
    try {
      await work();
      return;
    } catch (error) {
      if (left === 0) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
