/** A run that nobody trains any more loses a record of its log: lists must show all others and name it, and it can be deleted. */
import { setTimeout as delay } from 'node:timers/promises';
import { FailedPrecondition, NotFound } from '#errors/errors.js';
import { listFreshness } from '#rpc/kept-items.js';
import { listAll, type ObjectStore } from '#storage/object-store.js';
import type { Clients } from './clients.js';
import { PARENT } from './run-specs.js';

/** A run that has a name for as long as it is the same object. */
interface Named {
  readonly name: string;
}

/** Number of lists that are asked for after the time is over. */
const looks = 4;

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
  const wrong = await lasting(async () => {
    const before = others();
    const listed = await listRuns(clients);
    // What was created or deleted meanwhile may be in the list or not.
    const there = new Set(others());
    const found = before
      .filter((run) => there.has(run) && !listed.runs.has(run.name))
      .map((run) => `ListRuns does not show ${run.name} beside the damaged ${name}`);
    // A replica of the API may know it from the time when it was whole.
    if (!listed.runs.has(name) && !listed.unreadable.has(name)) found.push(`ListRuns does not name the damaged ${name}`);
    return found;
  });
  await free(clients, name);
  const left = await lasting(async () => {
    const { runs, unreadable } = await listRuns(clients);
    return runs.has(name) || unreadable.has(name) ? [`ListRuns names the damaged ${name}, which was deleted`] : [];
  });
  return [...wrong, ...left];
}

/**
 * What a replica still says after the time by which its lists may be behind what another replica has done: calls go round robin, and other calls
 * are made between these, so a few looks are needed to meet all replicas.
 */
async function lasting(look: () => Promise<string[]>): Promise<string[]> {
  if ((await look()).length === 0) return [];
  await delay(listFreshness.staleMs);
  const found = new Set<string>();
  for (let k = 0; k < looks; k++) for (const what of await look()) found.add(what);
  return [...found];
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
