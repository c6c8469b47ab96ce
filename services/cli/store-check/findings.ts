/** What `store check` can find, and what is to be done about it. */

/** `damage`: something that was stored is lost or changed. `leftover`: something that nobody needs. `note`: worth knowing, and no fault. */
export type Severity = 'damage' | 'leftover' | 'note';

interface Row {
  readonly severity: Severity;
  /** What to do if it is not repaired. */
  readonly advice: string;
}

const fromBackup = 'restore the object from a backup, or cancel and delete what it belongs to';
const repaired = '`--repair` does it';

/** One row for each kind of finding. Those that `--repair` repairs say what it does. */
export const kinds = {
  'record-missing': { severity: 'damage', advice: fromBackup },
  'record-unreadable': { severity: 'damage', advice: fromBackup },
  'record-misplaced': { severity: 'damage', advice: fromBackup },
  'log-end-missing': { severity: 'damage', advice: fromBackup },
  'log-missing': { severity: 'damage', advice: fromBackup },
  'incarnation-missing': { severity: 'damage', advice: fromBackup },
  'incarnation-unreadable': { severity: 'damage', advice: fromBackup },
  'incarnation-unknown': { severity: 'damage', advice: 'restore the object in `incarnations` that names this uid from a backup' },
  'revision-missing': { severity: 'damage', advice: 'restore the revision from a backup, or delete the schedule and create it again' },
  'revision-unreadable': { severity: 'damage', advice: 'restore the revision from a backup, or delete the schedule and create it again' },
  'revision-misplaced': { severity: 'damage', advice: 'restore the revision from a backup, or delete the schedule and create it again' },
  'checkpoint-missing': {
    severity: 'damage',
    advice: 'the run resumes from the checkpoint before it; restore it from a backup to keep it',
  },
  'checkpoint-unreadable': {
    severity: 'damage',
    advice: 'the run resumes from the checkpoint before it; restore it from a backup to keep it',
  },
  'checkpoint-part-missing': {
    severity: 'damage',
    advice: 'the run resumes from the checkpoint before it; restore the part from a backup',
  },
  'checkpoint-part-damaged': {
    severity: 'damage',
    advice: 'the run resumes from the checkpoint before it; restore the part from a backup',
  },
  'manifest-damaged': { severity: 'damage', advice: 'run `dropstream data index` on the data set again' },
  'location-damaged': { severity: 'damage', advice: 'run `dropstream data index` on the data set again' },
  'location-missing': { severity: 'damage', advice: 'run `dropstream data index` or `dropstream data push` on the data set again' },
  'manifest-missing': { severity: 'damage', advice: 'run `dropstream data index` or `dropstream data push` on the data set again' },
  'location-shared': {
    severity: 'note',
    advice: 'an earlier version wrote it; `dropstream data share` gives the data set to a project, and then the object can be deleted',
  },
  'image-damaged': { severity: 'damage', advice: 'delete the object and run `dropstream data push` again' },
  'object-unreadable': { severity: 'damage', advice: 'look at the disk or the store: the object cannot be read' },
  'index-missing': { severity: 'damage', advice: `lists do not show it; the entry has to be written again: ${repaired}` },
  'queue-missing': { severity: 'damage', advice: `no worker will find it; the entry has to be written again: ${repaired}` },
  'snapshot-damaged': { severity: 'leftover', advice: `the log gives the same state; the snapshot can be deleted: ${repaired}` },
  'deletion-unfinished': { severity: 'leftover', advice: `it is deleted, and its objects have to go: ${repaired}` },
  'checkpoint-unreferenced': { severity: 'leftover', advice: `no log names it, so it can be deleted: ${repaired}` },
  'parts-orphaned': { severity: 'leftover', advice: `a save did not get to its end; the parts can be deleted: ${repaired}` },
  'lease-orphaned': { severity: 'leftover', advice: `nobody works with it any more, so it can be deleted: ${repaired}` },
  'pin-orphaned': { severity: 'leftover', advice: `nobody needs the checkpoint any longer; the pin can be deleted: ${repaired}` },
  'hint-orphaned': { severity: 'leftover', advice: `what it points to is gone, so it can be deleted: ${repaired}` },
  'name-unused': { severity: 'note', advice: 'a create did not get to its end; the next create of the name continues it' },
  'temporary-file': { severity: 'leftover', advice: `its writer is gone, so it can be deleted: ${repaired}` },
  'empty-folder': { severity: 'leftover', advice: `it holds nothing, so it can be deleted: ${repaired}` },
  'probe-left': { severity: 'leftover', advice: `a start of a service left it, so it can be deleted: ${repaired}` },
  'in-progress': { severity: 'note', advice: 'it may be part of a save or create that is under way; check again later' },
  'layout-of-0.1': { severity: 'note', advice: 'finish or export it with version 0.1, or delete it: this version cannot read it' },
  'key-unknown': { severity: 'note', advice: 'no part of Dropstream writes such a key; it is left alone' },
} as const satisfies Readonly<Record<string, Row>>;

export type FindingKind = keyof typeof kinds;

export interface Finding {
  readonly kind: FindingKind;
  /** The object, or the folder of the objects that are concerned. */
  readonly where: string;
  /** What exactly is wrong. */
  readonly detail: string;
  /** Repairs it. @returns what was done. Absent if there is not one right answer, or if somebody may still need it */
  readonly repair?: ((signal: AbortSignal) => Promise<string>) | undefined;
}
