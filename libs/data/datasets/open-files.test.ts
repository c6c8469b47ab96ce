import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OpenFiles } from './open-files.js';

/** Files that know whether they are open. */
function fakeFiles() {
  const [open, log] = [new Set<object>(), { opened: 0, misused: 0 }];
  const openFile = async (name: string) => {
    await Promise.resolve();
    if (name.startsWith('bad')) throw new Error(`no ${name}`);
    log.opened++;
    const file = {
      read: async () => {
        await Promise.resolve();
        if (!open.has(file)) log.misused++;
        return name;
      },
      close: async () => {
        if (!open.delete(file)) log.misused++;
      },
    };
    open.add(file);
    return file;
  };
  return { open, log, openFile };
}

test('files are kept open, at most so many, and closed at the end', async () => {
  const { open, log, openFile } = fakeFiles();
  const files = new OpenFiles(openFile, 2);
  for (const name of ['a', 'b', 'a', 'b', 'a']) assert.equal(await files.use(name, (file) => file.read()), name);
  assert.deepEqual([log.opened, open.size], [2, 2]);
  await files.use('c', (file) => file.read()); // in place of b, which was used before a
  await files.use('a', (file) => file.read());
  assert.deepEqual([log.opened, open.size], [3, 2]);
  await files.forget('a');
  await files.use('a', (file) => file.read());
  assert.equal(log.opened, 4);
  await files.close();
  assert.deepEqual([open.size, log.misused], [0, 0]);
});

test('a file is never closed in use, nor twice; one that cannot be opened is tried again', async () => {
  const anyUse = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'bad'), fails: fc.boolean(), forget: fc.boolean() });
  await fc.assert(
    fc.asyncProperty(fc.array(anyUse, { maxLength: 40 }), fc.integer({ min: 1, max: 4 }), async (uses, capacity) => {
      const { open, log, openFile } = fakeFiles();
      const files = new OpenFiles(openFile, capacity);
      await Promise.all(
        uses.map(async ({ name, fails, forget }) => {
          const used = files.use(name, async (file) => {
            const found = await file.read();
            if (fails) throw new Error('failed');
            return (await file.read()) && found;
          });
          if (forget) await files.forget(name);
          if (fails || name === 'bad') await assert.rejects(used);
          else assert.equal(await used, name);
        }),
      );
      await files.close();
      assert.deepEqual([open.size, log.misused], [0, 0]);
    }),
    { numRuns: 300 },
  );
});
