/** `dropstream store check` finds checkpoints, data sets and entries of lists and queues that are missing or changed. */
import { type Fault, testFaults } from '../../../test/support/store-faults.js';
import type { StoreCopy } from '../../../test/support/written-store.js';

/** Damages the object that says where a data set was indexed. @returns its key */
async function onLocation(copy: StoreCopy, damage: (key: string) => Promise<string>): Promise<string> {
  return await damage((await copy.keys('projects/p/manifests/'))[0]!);
}

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
  { what: 'a missing part', kind: 'checkpoint-part-missing', damage: async (c) => c.delete(await c.partOf(await c.newestCheckpoint())) },
  {
    what: 'a cut part',
    kind: 'checkpoint-part-damaged',
    damage: async (c) => c.cut(await c.partOf(await c.newestCheckpoint()), 100),
  },
  {
    what: 'a changed part',
    kind: 'checkpoint-part-damaged',
    argv: ['--deep'],
    damage: async (c) => c.flip(await c.partOf(await c.newestCheckpoint())),
  },
  { what: 'a changed manifest of a data set', kind: 'manifest-damaged', damage: async (c) => c.flip((await c.keys('manifests/'))[0]!) },
  { what: 'an empty manifest of a data set', kind: 'manifest-damaged', damage: async (c) => c.write((await c.keys('manifests/'))[0]!, '') },
  {
    what: 'a cut manifest of a data set',
    kind: 'manifest-damaged',
    damage: async (c) => c.cut((await c.keys('manifests/'))[0]!, 10),
  },
  { what: 'a cut place of a data set', kind: 'location-damaged', damage: (c) => onLocation(c, (key) => c.cut(key, 12)) },
  { what: 'an empty place of a data set', kind: 'location-damaged', damage: (c) => onLocation(c, (key) => c.write(key, '')) },
  { what: 'a changed place of a data set', kind: 'location-damaged', damage: (c) => onLocation(c, (key) => c.flip(key)) },
  { what: 'a place that is none', kind: 'location-damaged', damage: (c) => onLocation(c, (key) => c.write(key, '[1,2,3]')) },
  {
    what: 'a data set that no project has',
    kind: 'location-missing',
    damage: async (c) => {
      const [key] = (await c.keys('manifests/')) as [string];
      for (const place of await c.keys('projects/')) if (place.includes(`/manifests/${key.slice(-64)}`)) await c.delete(place);
      return key;
    },
  },
  { what: 'a lost manifest of a data set', kind: 'manifest-missing', damage: async (c) => c.delete((await c.keys('manifests/'))[0]!) },
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
    damage: async (c) => {
      await c.delete((await c.keys('index/runs/trained'))[0]!);
      return c.run;
    },
  },
  {
    what: 'a schedule that no list shows',
    kind: 'index-missing',
    repaired: true,
    damage: async (c) => {
      await c.delete((await c.keys('index/schedules/'))[0]!);
      return c.schedule;
    },
  },
  {
    what: 'an evaluation that no list shows',
    kind: 'index-missing',
    repaired: true,
    damage: async (c) => {
      await c.delete((await c.keys('index/evaluations/scored'))[0]!);
      return `projects/p/evaluations/scored/${c.uids.evaluation}`;
    },
  },
  {
    what: 'a waiting run that no worker finds',
    kind: 'queue-missing',
    repaired: true,
    damage: async (c) => {
      await c.delete((await c.keys('run-queue/p/waiting'))[0]!);
      return `projects/p/runs/waiting/${c.uids.waiting}`;
    },
  },
];

// An object that cannot be read at all needs a broken disk.
testFaults('contents', faults, ['object-unreadable']);
