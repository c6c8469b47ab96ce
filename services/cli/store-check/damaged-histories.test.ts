/** `dropstream store check` finds every record of a run, evaluation, schedule or name that is missing, changed or in another's place. */
import { sealJson } from '#storage/sealed-json.js';
import { type Fault, testFaults } from '../../../test/support/store-faults.js';

const strange = 'ab'.repeat(16);

const faults: readonly Fault[] = [
  { what: 'a missing record', kind: 'record-missing', damage: (c) => c.delete(c.record(3)) },
  { what: 'a missing first record', kind: 'record-missing', damage: (c) => c.delete(c.record(1)) },
  {
    what: 'a record of another run',
    kind: 'record-misplaced',
    damage: async (c) => c.write(c.record(1), await c.read(`projects/p/runs/waiting/${c.uids.waiting}/log/000000000001`)),
  },
  { what: 'a record under another number', kind: 'record-misplaced', damage: async (c) => c.write(c.record(3), await c.read(c.record(2))) },
  {
    what: 'a record with a broken reference',
    kind: 'record-misplaced',
    damage: async (c) => {
      const key = (await c.keys(`${c.run}/log/`)).at(-1)!;
      const value = {
        seq: Number(key.slice(-12)),
        writer: 'w',
        previous: JSON.parse((await c.read(key)).toString()).previous,
        kind: 'checkpoint',
        checkpoint: { checkpoint: 'projects/p/runs/other/checkpoints/x' },
      };
      await c.write(key, sealJson(value, 'sha256').bytes);
      return key;
    },
  },
  {
    what: 'a record that was lost and written again by another writer',
    kind: 'record-misplaced',
    damage: async (c) => {
      const { sha256: _, ...value } = JSON.parse((await c.read(c.record(2))).toString());
      await c.write(c.record(2), sealJson({ ...value, writer: 'late' }, 'sha256').bytes);
      return c.record(3);
    },
  },
  { what: 'a changed record', kind: 'record-unreadable', damage: (c) => c.flip(c.record(2)) },
  { what: 'an empty record', kind: 'record-unreadable', damage: (c) => c.write(c.record(4), '') },
  { what: 'a record that is other JSON', kind: 'record-unreadable', damage: (c) => c.write(c.record(4), '[1,2,3]') },
  {
    what: 'an evaluation with a hole',
    kind: 'record-missing',
    damage: (c) => c.delete(`projects/p/evaluations/scored/${c.uids.evaluation}/log/000000000002`),
  },
  {
    what: 'a snapshot beyond the end of the log',
    kind: 'log-end-missing',
    damage: (c) => c.write(`${c.run}/log-snapshots/000000000999`, sealJson({ seq: 999, state: {} }, 'sha256').bytes),
  },
  { what: 'a claim beyond the end of the log', kind: 'log-end-missing', damage: (c) => c.write(`${c.run}/heartbeats/000000000999`, '{}') },
  {
    what: 'a checkpoint with records that the log has lost',
    kind: 'log-end-missing',
    damage: async (c) => {
      for (const key of (await c.keys(`${c.run}/log/`)).slice(3)) await c.delete(key);
    },
  },
  {
    what: 'a lost log',
    kind: 'log-missing',
    damage: async (c) => {
      for (const key of await c.keys(`${c.run}/log/`)) await c.delete(key);
      return c.run;
    },
  },
  {
    what: 'a missing incarnation',
    kind: 'incarnation-missing',
    damage: async (c) => {
      const [before] = await c.keys('projects/p/runs/again/incarnations/');
      await c.delete(before!);
      return before;
    },
  },
  {
    what: 'a changed incarnation',
    kind: 'incarnation-unreadable',
    damage: (c) => c.flip('projects/p/runs/trained/incarnations/00000001.json'),
  },
  {
    what: 'an incarnation of another name',
    kind: 'incarnation-unreadable',
    damage: async (c) =>
      c.write('projects/p/runs/trained/incarnations/00000001.json', await c.read('projects/p/runs/waiting/incarnations/00000001.json')),
  },
  {
    what: 'a lost incarnation of a run',
    kind: 'incarnation-unknown',
    damage: async (c) => {
      await c.delete('projects/p/runs/trained/incarnations/00000001.json');
      return c.run;
    },
  },
  {
    what: 'a lost incarnation of a schedule',
    kind: 'incarnation-unknown',
    damage: async (c) => {
      await c.delete('projects/p/schedules/s/incarnations/00000001.json');
      return c.schedule;
    },
  },
  {
    what: 'a uid that nothing names',
    kind: 'incarnation-unknown',
    damage: async (c) => {
      await c.write(`projects/p/runs/trained/${strange}/log/000000000001`, await c.read(c.record(1)));
      return `projects/p/runs/trained/${strange}`;
    },
  },
  { what: 'a missing first revision', kind: 'revision-missing', damage: (c) => c.delete(`${c.revisions}/000000000001.json`) },
  { what: 'a missing revision', kind: 'revision-missing', damage: (c) => c.delete(`${c.revisions}/000000000002.json`) },
  { what: 'a lost newest revision', kind: 'revision-missing', damage: (c) => c.delete(`${c.revisions}/000000000003.json`) },
  { what: 'a cut revision', kind: 'revision-unreadable', damage: (c) => c.write(`${c.revisions}/000000000002.json`, '{"format":') },
  { what: 'an empty revision', kind: 'revision-unreadable', damage: (c) => c.write(`${c.revisions}/000000000001.json`, '') },
  { what: 'a revision that is other JSON', kind: 'revision-unreadable', damage: (c) => c.write(`${c.revisions}/000000000003.json`, '[]') },
  {
    what: 'a revision in the place of another',
    kind: 'revision-misplaced',
    damage: async (c) => c.write(`${c.revisions}/000000000002.json`, await c.read(`${c.revisions}/000000000001.json`)),
  },
  {
    what: 'a revision that was written into the place of a lost one',
    kind: 'revision-misplaced',
    damage: async (c) => {
      const [, second, third] = (await c.keys('schedules/s/')).filter((key) => /revisions\/\d+\.json$/.test(key));
      const record = JSON.parse((await c.read(second!)).toString()) as object;
      await c.write(second!, `${JSON.stringify({ ...record, writer: 'late' })}\n`);
      return third!;
    },
  },
];

testFaults('histories', faults);
