/** A run that nobody trains any more loses a record of its log: lists must show all others and name it, and it can be deleted. */
import { FailedPrecondition, NotFound } from '#errors/errors.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import type { Clients } from './clients.js';
import { PARENT } from './run-specs.js';

/** A run that has a name for as long as it is the same object. */
interface Named {
  readonly name: string;
}

interface Listed {
  readonly runs: ReadonlySet<string>;
  readonly unreadable: ReadonlySet<string>;
}

/**
 * @param others those that lists must show at the moment
 * @returns what is wrong; nothing if all is well
 */
export async function damageEnded(store: ObjectStore, clients: Clients, name: string, others: () => readonly Named[]): Promise<string[]> {
  await loseRecord(store, name);
  const before = others();
  const listed = await listRuns(clients);
  // What was created or deleted meanwhile may be in the list or not.
  const there = new Set(others());
  const wrong = before
    .filter((run) => there.has(run) && !listed.runs.has(run.name))
    .map((run) => `ListRuns does not show ${run.name} beside the damaged ${name}`);
  // A replica of the API may know it from the time when it was whole.
  if (!listed.runs.has(name) && !listed.unreadable.has(name)) wrong.push(`ListRuns does not name the damaged ${name}`);
  await free(clients, name);
  const left = await listRuns(clients);
  if (left.runs.has(name) || left.unreadable.has(name)) wrong.push(`ListRuns names the damaged ${name}, which was deleted`);
  return wrong;
}

/** Takes a record out of the middle, and the snapshots that would spare reading it. */
async function loseRecord(store: ObjectStore, name: string): Promise<void> {
  const records: string[] = [];
  for await (const { key } of listAll(store, `${name}/`)) if (/\/log(-snapshots)?\/\d{12}$/.test(key)) records.push(key);
  const log = records.filter((key) => key.includes('/log/'));
  await store.delete(log[Math.floor(log.length / 2)]!);
  for (const key of records) if (key.includes('/log-snapshots/')) await store.delete(key);
}

/** All pages. */
async function listRuns({ call, trainer }: Clients): Promise<Listed> {
  const runs = new Set<string>();
  const unreadable = new Set<string>();
  for (let pageToken = ''; ; ) {
    const page = await call((signal) => trainer.listRuns({ parent: PARENT, pageToken }, { signal }));
    for (const run of page!.runs) runs.add(run.name);
    for (const run of page!.unreadable) unreadable.add(run.name);
    pageToken = page!.nextPageToken;
    if (pageToken === '') return { runs, unreadable };
  }
}

/** Cancels and deletes a run, whatever state it is in. */
export async function free({ call, trainer }: Clients, name: string): Promise<void> {
  await call(async (signal) => {
    await trainer.cancelRun({ name }, { signal }).catch((error) => {
      if (!(error instanceof FailedPrecondition || error instanceof NotFound)) throw error;
    });
    await trainer.deleteRun({ name }, { signal }).catch((error) => {
      if (!(error instanceof NotFound)) throw error;
    });
  });
}
