/** Tests of `dropstream store check`, one for each fault: it is found, named, and repaired or left alone. */
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type FindingKind, kinds } from '../../services/cli/store-check/findings.js';
import { checkStore, type StoreCopy, WrittenStore } from './written-store.js';

export interface Fault {
  readonly what: string;
  readonly kind: FindingKind;
  /** Changes the store. @returns where the finding must be; anything but a text: anywhere */
  readonly damage: (copy: StoreCopy) => Promise<unknown>;
  readonly argv?: readonly string[];
  /** True if `--repair` leaves nothing of it. */
  readonly repaired?: true;
}

/** `histories`: lost or changed records of what happened. `contents`: any other damage. `leftovers`: no damage. */
export type Subject = 'histories' | 'contents' | 'leftovers';

function subjectOf(kind: FindingKind): Subject {
  if (kinds[kind].severity !== 'damage') return 'leftovers';
  return /^(record|log|incarnation|revision)-/.test(kind) ? 'histories' : 'contents';
}

/** Every kind of a subject must be among the faults. @param untested kinds that need more than a change of files */
export function testFaults(subject: Subject, faults: readonly Fault[], untested: readonly FindingKind[] = []): void {
  let written: WrittenStore;
  before(async () => {
    written = await WrittenStore.make();
  });
  after(() => written.close());

  for (const { what, kind, damage, argv = [], repaired } of faults) {
    test(`${what} is found${repaired ? ' and repaired' : kinds[kind].severity === 'damage' ? ' and not repaired' : ''}`, async () => {
      const copy = await written.copy();
      const where = await damage(copy);
      const found = await checkStore(copy.folder, argv);
      const told = found.findings.filter((finding) => finding.kind === kind);
      assert.ok(told.length > 0, JSON.stringify(found.findings));
      if (typeof where === 'string')
        assert.ok(
          told.some((finding) => finding.where === where || finding.where === join(copy.folder, where)),
          JSON.stringify(told),
        );
      const isFault = kinds[kind].severity !== 'note';
      assert.deepEqual([found.code, found.whole], isFault ? [1, false] : [0, true]);

      const files = await readdir(copy.folder, { recursive: true });
      const repair = await checkStore(copy.folder, ['--repair', ...argv]);
      const rest = await checkStore(copy.folder, argv);
      if (repaired) {
        assert.ok(
          repair.findings.every((finding) => finding.repaired !== undefined),
          JSON.stringify(repair.findings),
        );
        assert.deepEqual([repair.code, rest.code, rest.findings], [0, 0, []]);
      } else {
        assert.ok(rest.findings.some((finding) => finding.kind === kind));
        // Repairs of what follows from the damage apart, nothing is touched.
        if (repair.findings.every((finding) => finding.repaired === undefined))
          assert.deepEqual((await readdir(copy.folder, { recursive: true })).sort(), files.sort());
      }
    });
  }

  test(`every kind of finding in ${subject} has a test`, () => {
    const due = Object.keys(kinds).filter((kind) => subjectOf(kind as FindingKind) === subject);
    assert.deepEqual([...new Set([...faults.map(({ kind }) => kind), ...untested])].sort(), due.sort());
  });
}
