/** `dropstream store check` finds checkpoints, data sets and entries of lists and queues that are missing or changed. */
import { type Fault, testFaults } from '../../../test/support/store-faults.js';

const faults: readonly Fault[] = [
  {
    what: 'a lost newest checkpoint',
    kind: 'checkpoint-missing',
    damage: async (c) => {
      const folder = await c.newestCheckpoint();
      await c.delete(folder);
      return `${folder}/manifest.json`;
    },
  },
  {
    what: 'a changed manifest of a checkpoint',
    kind: 'checkpoint-unreadable',
    damage: async (c) => c.flip(`${await c.newestCheckpoint()}/manifest.json`),
  },
  {
    what: 'an empty manifest of a checkpoint',
    kind: 'checkpoint-unreadable',
    damage: async (c) => c.write(`${await c.newestCheckpoint()}/manifest.json`, ''),
  },
  {
    what: 'the manifest of another checkpoint',
    kind: 'checkpoint-unreadable',
    damage: async (c) => {
      const [one, other] = (await c.checkpoints()) as [string, string];
      await c.write(`${one}/manifest.json`, await c.read(`${other}/manifest.json`));
    },
  },
  {
    what: 'a missing part',
    kind: 'checkpoint-part-missing',
    damage: async (c) => {
      const part = await c.partOf(await c.newestCheckpoint());
      await c.delete(part);
      return part;
    },
  },
  {
    what: 'a cut part',
    kind: 'checkpoint-part-damaged',
    damage: async (c) => {
      const part = await c.partOf(await c.newestCheckpoint());
      await c.write(part, (await c.read(part)).subarray(0, 100));
      return part;
    },
  },
  {
    what: 'a changed part',
    kind: 'checkpoint-part-damaged',
    argv: ['--deep'],
    damage: async (c) => {
      const part = await c.partOf(await c.newestCheckpoint());
      await c.flip(part);
      return part;
    },
  },
  { what: 'a changed manifest of a data set', kind: 'manifest-damaged', damage: async (c) => c.flip((await c.keys('manifests/'))[0]!) },
  { what: 'an empty manifest of a data set', kind: 'manifest-damaged', damage: async (c) => c.write((await c.keys('manifests/'))[0]!, '') },
  {
    what: 'a cut manifest of a data set',
    kind: 'manifest-damaged',
    damage: async (c) => {
      const [key] = await c.keys('manifests/');
      await c.write(key!, (await c.read(key!)).subarray(0, 10));
    },
  },
  {
    what: 'a place of a data set that cannot be read',
    kind: 'location-damaged',
    damage: async (c) => c.write((await c.keys('manifest-locations/'))[0]!, '{'),
  },
  {
    what: 'a changed image',
    kind: 'image-damaged',
    argv: ['--deep'],
    damage: (c) => c.write(`datasets/objects/ab/${'ab'.repeat(32)}`, 'other'),
  },
  {
    what: 'a run that no list shows',
    kind: 'index-missing',
    repaired: true,
    damage: async (c) => c.delete((await c.keys('index/runs/trained'))[0]!),
  },
  {
    what: 'a schedule that no list shows',
    kind: 'index-missing',
    repaired: true,
    damage: async (c) => c.delete((await c.keys('index/schedules/'))[0]!),
  },
  {
    what: 'an evaluation that no list shows',
    kind: 'index-missing',
    repaired: true,
    damage: async (c) => c.delete((await c.keys('index/evaluations/'))[0]!),
  },
  {
    what: 'a waiting run that no worker finds',
    kind: 'queue-missing',
    repaired: true,
    damage: async (c) => c.delete((await c.keys('run-queue/p/waiting'))[0]!),
  },
];

// An object that cannot be read at all needs a broken disk.
testFaults('contents', faults, ['object-unreadable']);
