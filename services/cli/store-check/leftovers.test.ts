/** `dropstream store check` finds what nobody needs any more, takes it away if asked to, and leaves alone what belongs to others. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sealJson } from '#storage/sealed-json.js';
import { type Fault, testFaults } from '../../../test/support/store-faults.js';

const strange = 'ab'.repeat(16);

const faults: readonly Fault[] = [
  {
    what: 'a damaged snapshot',
    kind: 'snapshot-damaged',
    repaired: true,
    damage: (c) => c.write(`${c.run}/log-snapshots/000000000002`, '{}'),
  },
  {
    what: 'a deletion that did not end',
    kind: 'deletion-unfinished',
    repaired: true,
    damage: async (c) => {
      const [before] = (await c.keys('projects/p/runs/again/incarnations/')) as [string];
      const { uid } = JSON.parse((await c.read(before)).toString()) as { uid: string };
      await c.write(`projects/p/runs/again/${uid}/log/000000000001`, 'x');
      await c.write(`projects/p/runs/again/${uid}/checkpoints/000000000001-abcdef01/weights.0123456789abcdef.safetensors`, 'x');
      return `projects/p/runs/again/${uid}`;
    },
  },
  {
    what: 'a checkpoint that no log names',
    kind: 'checkpoint-unreferenced',
    repaired: true,
    damage: async (c) => {
      const folder = `${c.run}/checkpoints/000000000001-abcdef01`;
      await c.write(`${folder}/manifest.json`, '{}');
      await c.write(`${folder}/weights.0123456789abcdef.safetensors`, 'x');
      return folder;
    },
  },
  {
    what: 'parts of a save that did not end',
    kind: 'parts-orphaned',
    repaired: true,
    damage: async (c) => {
      const folder = `${c.run}/checkpoints/000000000002-abcdef01`;
      await c.write(`${folder}/weights.0123456789abcdef.safetensors`, 'x');
      await c.write(`${folder}/ema-2.0123456789abcdef.safetensors`, 'x');
      return folder;
    },
  },
  {
    what: 'a part that its manifest does not name',
    kind: 'parts-orphaned',
    repaired: true,
    damage: async (c) => {
      const folder = await c.newestCheckpoint();
      await c.write(`${folder}/ema.0123456789abcdef.safetensors`, 'x');
      return folder;
    },
  },
  {
    what: 'the lease of an ended run',
    kind: 'lease-orphaned',
    repaired: true,
    damage: (c) => c.write(`${c.run}/heartbeats/000000000002`, '{}'),
  },
  {
    what: 'the lease of an ended evaluation',
    kind: 'lease-orphaned',
    repaired: true,
    damage: (c) => c.write(`projects/p/evaluations/scored/${c.uids.evaluation}/heartbeats/000000000002`, '{}'),
  },
  {
    what: 'the pin of an ended run',
    kind: 'pin-orphaned',
    repaired: true,
    damage: async (c) => {
      const id = (await c.newestCheckpoint()).split('/').at(-1);
      await c.write(`${c.run}/checkpoint-pins/${id}/${c.uids.run}`, '{}');
    },
  },
  {
    what: 'the pin of an ended evaluation',
    kind: 'pin-orphaned',
    repaired: true,
    damage: async (c) => {
      const id = (await c.newestCheckpoint()).split('/').at(-1);
      await c.write(`${c.run}/checkpoint-pins/${id}/${c.uids.evaluation}`, '{}');
    },
  },
  {
    what: 'a hint to a deleted run',
    kind: 'hint-orphaned',
    repaired: true,
    damage: async (c) => {
      const [before] = (await c.keys('projects/p/runs/again/incarnations/')) as [string];
      const { uid } = JSON.parse((await c.read(before)).toString()) as { uid: string };
      await c.write(`run-queue/p/again-${uid}`, '{}');
      return `run-queue/p/again-${uid}`;
    },
  },
  { what: 'a temporary file', kind: 'temporary-file', repaired: true, damage: (c) => c.write(`${c.run}/log/.tmp-1-x`, 'half') },
  { what: 'a lock', kind: 'temporary-file', repaired: true, damage: (c) => c.write('projects/.tmp-lock-a', '1') },
  {
    what: 'an empty folder',
    kind: 'empty-folder',
    repaired: true,
    damage: async (c) => {
      await mkdir(join(c.folder, c.run, 'checkpoints/000000000009-abcdef01'));
    },
  },
  {
    what: 'what a test of the store left',
    kind: 'probe-left',
    repaired: true,
    damage: (c) => c.write(`probe-${crypto.randomUUID()}`, 'first'),
  },
  {
    what: 'a run of version 0.1',
    kind: 'layout-of-0.1',
    damage: async (c) => {
      await c.write('projects/p/runs/old/log/000000000001', '{}');
      return 'projects/p/runs/old';
    },
  },
  {
    what: 'a schedule of version 0.1',
    kind: 'layout-of-0.1',
    damage: async (c) => {
      await c.write('projects/p/schedules/old/revisions/000000000001.json', '{}');
      return 'projects/p/schedules/old';
    },
  },
  { what: 'an entry of the queue of version 0.1', kind: 'layout-of-0.1', damage: (c) => c.write('queue/runs/p/old', '{}') },
  {
    what: 'a place of a data set that version 0.1 stored for all projects',
    kind: 'location-shared',
    damage: (c) => c.write(`manifest-locations/${'0'.repeat(64)}`, '{"path":"/data/birds"}'),
  },
  { what: 'an object of somebody else', kind: 'key-unknown', damage: (c) => c.write('notes/readme.txt', 'hello') },
  {
    what: 'a name whose create did not get far',
    kind: 'name-unused',
    damage: async (c) => {
      const name = 'projects/p/runs/begun';
      const value = { format: 'dropstream.incarnation/1', name, number: 1, uid: strange, deleted: false, facts: {}, writer: 'w' };
      await c.write(`${name}/incarnations/00000001.json`, sealJson(value, 'sha256').bytes);
      return name;
    },
  },
];

// How young leftovers are told is a test of its own, in store-check.test.ts.
testFaults('leftovers', faults, ['in-progress']);
