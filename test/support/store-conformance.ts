/** Test support: what every object store must do. Run on the directory and on a real S3 server by their own tests. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { createExclusive } from '#storage/exclusive-create.js';
import {
  InvalidKey,
  listAll,
  ObjectExists,
  ObjectNotFound,
  type ObjectStore,
  ObjectTooLarge,
  PreconditionFailed,
} from '#storage/object-store.js';

export interface StoreUnderTest {
  store: ObjectStore;
  /** A second, independent opening of the same place, as another process has it. */
  other: ObjectStore;
  close(): Promise<void>;
}

/** `skip` is a reason, when the store cannot be had here. Every test uses keys of its own below one fresh place. */
export function storeConformance(name: string, open: () => Promise<StoreUnderTest>, skip: string | false = false): void {
  describe(`${name} conforms`, { skip, timeout: 60_000 }, () => {
    let opened: StoreUnderTest;
    let store: ObjectStore;
    let other: ObjectStore;
    before(async () => {
      opened = await open();
      ({ store, other } = opened);
    });
    after(() => opened?.close());

    const text = (value: string) => Buffer.from(value);
    const read = async (from: ObjectStore, key: string) => (await from.get(key)).bytes.toString();
    const keysOf = async (prefix: string, afterKey?: string) => {
      const keys: string[] = [];
      for await (const { key } of listAll(store, prefix, { after: afterKey })) keys.push(key);
      return keys;
    };

    test('what was put is read back, by others too, and its etag names the version', async () => {
      const put = await store.put('basic/a', text('one'));
      assert.equal(await read(other, 'basic/a'), 'one');
      assert.equal((await other.get('basic/a')).etag, put.etag);
      const head = await other.head('basic/a');
      assert.deepEqual([head.key, head.sizeBytes, head.etag], ['basic/a', 3, put.etag]);
      const again = await other.put('basic/a', text('two'));
      assert.notEqual(again.etag, put.etag);
      assert.equal(await read(store, 'basic/a'), 'two');
    });

    test('an empty object and a list of chunks are objects like others', async () => {
      await store.put('basic/empty', Buffer.alloc(0));
      assert.equal((await store.get('basic/empty')).bytes.length, 0);
      assert.equal((await store.head('basic/empty')).sizeBytes, 0);
      await store.put('basic/chunks', [text('ab'), new Uint8Array(0), text('cde')]);
      assert.equal(await read(store, 'basic/chunks'), 'abcde');
    });

    test('40 MiB in uneven chunks come back as they were, whole and in ranges', async () => {
      const bytes = Buffer.concat(Array.from({ length: 40 }, () => randomBytes(1 << 20)));
      const chunks = [bytes.subarray(0, 7), bytes.subarray(7, 30_000_001), bytes.subarray(30_000_001)];
      const put = await store.put('basic/large', chunks);
      const got = await store.get('basic/large');
      assert.ok(got.bytes.equals(bytes));
      assert.equal(got.bytes.byteOffset % 8, 0);
      assert.equal(got.etag, put.etag);
      assert.ok((await store.getRange('basic/large', 17_000_000, 1_000)).equals(bytes.subarray(17_000_000, 17_001_000)));
      assert.ok((await store.getRange('basic/large', bytes.length - 5, 100)).equals(bytes.subarray(bytes.length - 5)));
      assert.equal((await store.getRange('basic/large', bytes.length + 5, 100)).length, 0);
      assert.equal((await store.getRange('basic/large', 3, 0)).length, 0);
      await assert.rejects(store.get('basic/large', { maxBytes: bytes.length - 1 }), ObjectTooLarge);
    });

    test('what is not there is ObjectNotFound, and deleting it is no error', async () => {
      const calls = [
        () => store.get('none/x'),
        () => store.head('none/x'),
        () => store.getRange('none/x', 0, 1),
        () => store.getRange('none/x', 0, 0),
      ];
      for (const call of calls) {
        await assert.rejects(call(), (error) => error instanceof ObjectNotFound && error.key === 'none/x');
      }
      await store.delete('none/x');
      await store.put('none/y', text('y'));
      await other.delete('none/y');
      await assert.rejects(store.get('none/y'), ObjectNotFound);
      await assert.rejects(store.get('none'), ObjectNotFound);
      assert.deepEqual(await keysOf('none/'), []);
    });

    test('of 20 concurrent exclusive writers exactly one wins, in each of 10 rounds, and its bytes stay', async () => {
      for (let round = 0; round < 10; round++) {
        const key = `race/${round}`;
        const results = await Promise.allSettled(
          Array.from({ length: 20 }, (_, i) => (i % 2 ? store : other).put(key, text(`writer ${i}`), { ifAbsent: true })),
        );
        const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
        assert.equal(winners.length, 1);
        for (const result of results)
          assert.ok(
            result.status === 'fulfilled' || result.reason instanceof ObjectExists,
            String((result as PromiseRejectedResult).reason),
          );
        assert.equal(await read(store, key), `writer ${winners[0]}`);
      }
    });

    test('a create whose reply was lost is known as its own when tried again; another writer sees that it lost', async () => {
      const losesReply: ObjectStore = Object.create(store, {
        put: {
          value: async (...args: Parameters<ObjectStore['put']>) => {
            await store.put(...args);
            return store.put(...args);
          },
        },
      });
      assert.equal(await createExclusive(losesReply, 'lost/reply', text('token A')), 'created');
      assert.equal(await createExclusive(store, 'lost/reply', text('token A')), 'created');
      assert.equal(await createExclusive(other, 'lost/reply', text('token B')), 'exists');
      assert.equal(await createExclusive(other, 'lost/reply', text('longer token')), 'exists');
      assert.equal(await createExclusive(other, 'lost/reply', text('t')), 'exists');
      assert.equal(await read(store, 'lost/reply'), 'token A');
    });

    test('replace needs the current etag: a wrong or old one, or a missing object, changes nothing', async () => {
      const first = await store.put('replace/a', text('1'));
      const second = await other.replace('replace/a', text('2'), { ifMatch: first.etag });
      for (const ifMatch of [first.etag, '00000000000000000000000000000000']) {
        await assert.rejects(store.replace('replace/a', text('3'), { ifMatch }), PreconditionFailed);
      }
      assert.equal(await read(store, 'replace/a'), '2');
      await store.replace('replace/a', text('4'), { ifMatch: second.etag });
      assert.equal(await read(other, 'replace/a'), '4');
      await assert.rejects(store.replace('replace/none', text('x'), { ifMatch: first.etag }), PreconditionFailed);
      await assert.rejects(store.replace('replacement/none', text('x'), { ifMatch: first.etag }), PreconditionFailed);
      await assert.rejects(store.replace('replace/a', Buffer.alloc((1 << 20) + 1), { ifMatch: first.etag }), ObjectTooLarge);
    });

    test('of 12 concurrent replacements of one version one wins', async () => {
      const { etag } = await store.put('replace/race', text('start'));
      const results = await Promise.allSettled(
        Array.from({ length: 12 }, (_, i) => (i % 2 ? store : other).replace('replace/race', text(`by ${i}`), { ifMatch: etag })),
      );
      const winners = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
      assert.equal(winners.length, 1);
      assert.equal(await read(store, 'replace/race'), `by ${winners[0]}`);
    });

    test('concurrent overwrites leave one of the values, whole, and no reader ever sees a mixture', async () => {
      const values = Array.from({ length: 8 }, (_, i) => Buffer.alloc(200_000, i));
      await store.put('overwrite', values[0]!);
      const writing = Promise.all(values.map((value, i) => (i % 2 ? store : other).put('overwrite', value)));
      for (let i = 0; i < 10; i++) {
        const { bytes } = await other.get('overwrite');
        assert.equal(bytes.length, 200_000);
        assert.ok(bytes.equals(values[bytes[0]!]!));
      }
      await writing;
    });

    test('listing is in byte order of the whole key, by any prefix, from any key', async () => {
      const keys = ['a-b/1', 'a.b', 'a/1', 'a/10', 'a/2', 'a/b/c', 'a=b', 'aB', 'a_', 'aa', '000000000012', '1e5', 'b'].map(
        (key) => `order/${key}`,
      );
      const expected = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
      await Promise.all(keys.map((key) => store.put(key, text(key))));
      assert.deepEqual(await keysOf('order/'), expected);
      assert.deepEqual(await keysOf('order/a/1'), ['order/a/1', 'order/a/10']);
      assert.deepEqual(
        await keysOf('order/a'),
        expected.filter((key) => key.startsWith('order/a')),
      );
      for (const from of [...keys, 'order/a/', 'order/a/0', 'order/a0', 'order/zzz', 'a', 'z']) {
        assert.deepEqual(
          await keysOf('order/', from),
          expected.filter((key) => key > from),
          `after ${from}`,
        );
      }
      assert.deepEqual(await keysOf('order/none'), []);
    });

    test('keys that look like numbers stay text at the top, too', async () => {
      await store.put('000000000077', text('x'));
      assert.deepEqual(await keysOf('00000000007'), ['000000000077']);
    });

    test('pages join to the whole listing, and the last has no next', async () => {
      const keys = Array.from({ length: 25 }, (_, i) => `pages/${String(i % 5)}/${String(i).padStart(3, '0')}`).sort();
      await Promise.all(keys.map((key) => store.put(key, text(key))));
      const seen: string[] = [];
      let from: string | undefined;
      let pages = 0;
      do {
        const page = await store.list('pages/', { after: from, limit: 5 });
        assert.ok(page.objects.length <= 5);
        for (const object of page.objects) assert.equal(object.sizeBytes, object.key.length);
        seen.push(...page.objects.map((object) => object.key));
        from = page.next;
        pages++;
      } while (from !== undefined);
      assert.deepEqual(seen, keys);
      assert.equal(pages, 5);
      for (const limit of [0, -1, 1.5, (store.maxListed ?? 1000) + 1]) await assert.rejects(store.list('pages/', { limit }), RangeError);
    });

    test('a key outside the grammar is refused before anything is done', async () => {
      const bad = [
        '',
        '/',
        '/a',
        'a/',
        'a//b',
        '.',
        '..',
        'a/../b',
        '../escape',
        '.hidden',
        'a/.tmp-1',
        'a b',
        'a\\b',
        'a\0b',
        'ä',
        'a%2fb',
        'a+b',
        'x'.repeat(129),
        `${'a/'.repeat(500)}a`,
      ];
      for (const key of bad) {
        const calls = [
          () => store.put(key, text('x')),
          () => store.put(key, text('x'), { ifAbsent: true }),
          () => store.replace(key, text('x'), { ifMatch: 'e' }),
          () => store.get(key),
          () => store.getRange(key, 0, 1),
          () => store.head(key),
          () => store.delete(key),
          () => store.presignGet(key, 60),
        ];
        for (const call of calls) await assert.rejects(async () => call(), InvalidKey, JSON.stringify(key));
      }
      for (const prefix of ['/', '../', 'a//', 'a b']) await assert.rejects(store.list(prefix), InvalidKey, prefix);
      await store.put(`${'x'.repeat(128)}/${'Az09._=-'.repeat(16)}`, text('longest'));
    });

    test('an aborted signal ends every call with its reason', async () => {
      const signal = AbortSignal.abort(new Error('enough'));
      const calls = [
        () => store.put('aborted', text('x'), { signal }),
        () => store.replace('aborted', text('x'), { ifMatch: 'e', signal }),
        () => store.get('basic/a', { signal }),
        () => store.getRange('basic/a', 0, 1, { signal }),
        () => store.head('basic/a', { signal }),
        () => store.list('', { signal }),
        () => store.delete('basic/a', { signal }),
      ];
      for (const call of calls) await assert.rejects(async () => call(), /enough/);
      await assert.rejects(store.get('aborted'), ObjectNotFound);
    });

    test('a presigned URL reads the object and nothing in it is a credential', async () => {
      await store.put('signed/a', text('by url'));
      const url = await store.presignGet('signed/a', 60);
      // A store in memory has nothing that a URL could name.
      if (url === undefined) return;
      if (url.startsWith('file:')) {
        const { readFile } = await import('node:fs/promises');
        assert.equal(await readFile(new URL(url), 'utf8'), 'by url');
      } else {
        const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
        assert.equal(await response.text(), 'by url');
        assert.equal((await fetch(url.replace(/a\?/, 'b?'), { signal: AbortSignal.timeout(10_000) })).status, 403);
      }
      assert.doesNotMatch(`${url} ${store.uri}`, /secret/i);
    });
  });
}
