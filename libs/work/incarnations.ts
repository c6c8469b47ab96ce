/**
 * Tells apart what had the same name one after the other. A run, schedule or evaluation gets a uid when it is created, and all of its objects lie below
 * `<name>/<uid>/`, so nothing that a late process writes for an earlier one can be taken for a part of a later one. Which uid a name belongs to is
 * decided by small objects `<name>/incarnations/<8 digits>.json`, which are only ever created exclusively, with contiguous numbers: the highest number
 * decides, and is either a uid or the tombstone of a uid. Of two creates at once, one wins, and the other reads what won.
 *
 * A hole in the numbers is damage, because whoever first looks at a name lists all of them. They need no link to the one before, as records of a log
 * have it: should a late create put another object into the place of a lost one, nobody acts on it, because only the highest number decides. If the
 * highest is lost itself, the name seems to be free, or to have its earlier owner; the objects below a uid that no incarnation names tell of that
 * (`newestWhole`).
 *
 * The order of writes makes every crash harmless. Creating: the uid first, then the objects below it. A crash in between leaves a name whose log is
 * empty; it does not show anywhere, and whoever creates it next continues with the same uid, where the first record of the log decides. Deleting: the
 * tombstone first; from then on nobody looks below the uid, and `sweep` may remove its objects at any time, by any process, as often as needed.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { RecentMap } from '#bounds/recent-map.js';
import { Aborted, DataLoss, FailedPrecondition, NotFound } from '#errors/errors.js';
import { createExclusive } from '#storage/exclusive-create.js';
import type { JsonObject } from '#storage/log-record.js';
import { listAll, ObjectNotFound, type ObjectStore, ObjectTooLarge } from '#storage/object-store.js';
import { SealBroken, sealJson, unsealJson } from '#storage/sealed-json.js';

export interface Incarnation {
  /** 1, 2, 3 and so on, without gaps, for each name. */
  readonly number: number;
  /** 32 hexadecimal digits. */
  readonly uid: string;
  /** True for a tombstone: the name is free again. */
  readonly deleted: boolean;
  /** What the creator or the deleter wanted to be remembered. */
  readonly facts: JsonObject;
}

const FORMAT = 'dropstream.incarnation/1';
const SEAL = 'sha256';
const DIGITS = 8;
const maxRecordBytes = 64 << 10;
const remembered = 4096;
/** Number of times that other writers may be faster before a create gives up. */
const attempts = 16;
/** Largest number of uids that a tombstone of buryDamaged names, so that it stays small. */
const maxBuriedUids = 1000;
const uidPattern = /^[0-9a-f]{32}$/;

/** The folder of everything that belongs to one incarnation of a name. */
export const incarnationFolder = (name: string, uid: string): string => `${name}/${uid}`;

export const isUid = (text: string): boolean => uidPattern.test(text);

const folderOf = (name: string): string => `${name}/incarnations`;
const keyOf = (name: string, number: number): string => `${folderOf(name)}/${String(number).padStart(DIGITS, '0')}.json`;

export class Incarnations {
  readonly #store: ObjectStore;
  /** The newest incarnation that was read, by name. Records never change, so only later ones have to be looked for. */
  readonly #known = new RecentMap<string, Incarnation>(remembered);

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** The newest incarnation, which may be a tombstone; undefined if the name was never used. @throws DataLoss if one before it is missing */
  async newest(name: string, signal?: AbortSignal): Promise<Incarnation | undefined> {
    const known = this.#known.get(name);
    // The known one is listed again: if it is lost, its number must not be given out for the second time.
    const before = known === undefined ? 0 : known.number - 1;
    let last = before;
    const options = { signal, after: before === 0 ? undefined : keyOf(name, before) };
    for await (const { key } of listAll(this.#store, `${folderOf(name)}/`, options)) {
      const number = numberOf(key, name);
      // A listing that runs during creates may contain an object but not the one before it.
      while (++last < number) await this.#read(name, last, signal);
    }
    if (known !== undefined && last < known.number) throw new DataLoss(keyOf(name, known.number), 'it was read before and is missing now');
    if (last === 0) return undefined;
    if (known?.number === last) return known;
    return this.#remember(name, await this.#read(name, last, signal));
  }

  /**
   * Same as `newest`, for whoever is about to take the name for free. No later incarnation tells that the newest one was lost, but its objects do:
   * a uid is written before its objects, so each of them has one that an incarnation names.
   * @throws DataLoss, also if there are objects below a uid that no incarnation names
   */
  async newestWhole(name: string, signal?: AbortSignal): Promise<Incarnation | undefined> {
    const found = await this.newest(name, signal);
    if (found !== undefined && !found.deleted) return found;
    const uids = await this.#uidFolders(name, signal);
    if (uids.length === 0) return found;
    const newest = await this.newest(name, signal);
    if (newest !== undefined && !newest.deleted) return newest;
    const [lost] = await this.#unnamed(name, uids, newest, signal);
    if (lost !== undefined)
      throw new DataLoss(incarnationFolder(name, lost), 'it has objects, but the incarnation with this uid is missing');
    return newest;
  }

  /** The incarnation that the name belongs to. @throws NotFound; FailedPrecondition if it was stored by version 0.1; DataLoss */
  async current(kind: string, name: string, signal?: AbortSignal): Promise<Incarnation> {
    const newest = await this.newestWhole(name, signal);
    if (newest === undefined) await this.refuseLayoutOf01(kind, name, signal);
    if (newest === undefined || newest.deleted) throw new NotFound(kind, name);
    return newest;
  }

  async isCurrent(name: string, uid: string, signal?: AbortSignal): Promise<boolean> {
    const newest = await this.newest(name, signal);
    return newest !== undefined && newest.uid === uid && !newest.deleted;
  }

  /**
   * Gives the name a new uid, unless it has one: then returns that one. `facts` is remembered with it.
   * @throws FailedPrecondition if the name was used by version 0.1
   */
  async mint(
    kind: string,
    name: string,
    facts: (before: Incarnation | undefined) => JsonObject,
    signal?: AbortSignal,
  ): Promise<Incarnation> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      const newest = await this.newestWhole(name, signal);
      if (newest !== undefined && !newest.deleted) return newest;
      if (newest === undefined) await this.refuseLayoutOf01(kind, name, signal);
      const next = { number: (newest?.number ?? 0) + 1, uid: randomBytes(16).toString('hex'), deleted: false, facts: facts(newest) };
      if (await this.#create(name, next, signal)) return next;
    }
    throw new Aborted(kind, name, 'other writers created and deleted it at the same time, repeatedly: try again');
  }

  /** Writes the tombstone of a uid. @returns false if it is not the current one (any more) */
  async bury(name: string, uid: string, facts: JsonObject = {}, signal?: AbortSignal): Promise<boolean> {
    const newest = await this.newest(name, signal);
    if (newest === undefined || newest.uid !== uid || newest.deleted) return false;
    return await this.#create(name, { number: newest.number + 1, uid, deleted: true, facts }, signal);
  }

  /**
   * Frees a name whose newest incarnation is damaged: writes a tombstone that names every uid which has objects, because it cannot be read which one was
   * current. While the newest incarnation is damaged, nobody can create another one, so these are all there are.
   */
  async buryDamaged(name: string, facts: JsonObject = {}, signal?: AbortSignal): Promise<void> {
    for (let attempt = 1; attempt <= attempts; attempt++) {
      let last = 0;
      for await (const { key } of listAll(this.#store, `${folderOf(name)}/`, { signal })) last = Math.max(last, numberIn(key, name) ?? 0);
      const read = await this.#read(name, last, signal).catch((error) => {
        if (!(error instanceof DataLoss)) throw error;
        return undefined;
      });
      const folders = await this.#uidFolders(name, signal);
      const unnamed = await this.#unnamed(name, folders, read, signal);
      // Somebody else was faster.
      if (read?.deleted && unnamed.size === 0) return;
      const tombstone = { uid: '0'.repeat(32), deleted: true, facts: { ...facts, uids: folders.slice(0, maxBuriedUids) } };
      if (!(await this.#create(name, { number: last + 1, ...tombstone }, signal))) continue;
      // Processes that know a lost incarnation look only for later numbers. One that cannot be read keeps its number.
      const lost = read === undefined && last > 0 ? 0 : Math.min(unnamed.size, maxBuriedUids);
      for (let number = last + 2; number <= last + 1 + lost; number++) await this.#create(name, { number, ...tombstone }, signal);
      return;
    }
    throw new Aborted('name', name, 'other writers created and deleted it at the same time, repeatedly: try again');
  }

  /** Removes what is left below uids of this name that are deleted. */
  async sweep(name: string, signal?: AbortSignal): Promise<void> {
    const uids = await this.#uidFolders(name, signal);
    // This is read after the folders were seen: a uid is written before its objects, so every uid seen is either the current one or deleted.
    const newest = await this.newest(name, signal);
    const unused = uids.filter((uid) => newest !== undefined && (uid !== newest.uid || newest.deleted));
    // Only a uid that an incarnation names is removed: if the newest incarnation is lost, its objects must not go too.
    const unnamed = await this.#unnamed(name, unused, newest, signal);
    for (const uid of unused) if (!unnamed.has(uid)) await removeAll(this.#store, `${incarnationFolder(name, uid)}/`, signal);
  }

  /** Those uids that no incarnation up to this one names. */
  async #unnamed(
    name: string,
    uids: readonly string[],
    newest: Incarnation | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ReadonlySet<string>> {
    const left = new Set(uids);
    for (let number = newest?.number ?? 0; number > 0 && left.size > 0; number--) {
      const named = await this.#read(name, number, signal).catch((error) => {
        // An incarnation that is damaged names nothing.
        if (!(error instanceof DataLoss)) throw error;
      });
      for (const uid of named === undefined ? [] : [named.uid, ...buriedUids(named)]) left.delete(uid);
    }
    return left;
  }

  /** The uids of a name that have objects. */
  async #uidFolders(name: string, signal: AbortSignal | undefined): Promise<string[]> {
    const uids: string[] = [];
    for (let after: string | undefined; ; ) {
      const { objects } = await this.#store.list(`${name}/`, { after, limit: 1, signal });
      const folder = objects[0]?.key.slice(name.length + 1).split('/')[0];
      if (folder === undefined) return uids;
      if (isUid(folder)) uids.push(folder);
      // The next character after '/': the first key behind this folder.
      after = `${name}/${folder}0`;
    }
  }

  /** Removes what version 0.1 stored under a name. @returns false if there is nothing */
  async removeLayoutOf01(name: string, signal?: AbortSignal): Promise<boolean> {
    if (!(await this.isOfLayout01(name, signal))) return false;
    for await (const { key } of listAll(this.#store, `${name}/`, { signal })) {
      const folder = key.slice(name.length + 1).split('/')[0]!;
      if (folder !== 'incarnations' && !isUid(folder)) await this.#store.delete(key, { signal });
    }
    return true;
  }

  /** True for a name that has objects but no incarnation, as version 0.1 stored them. */
  async isOfLayout01(name: string, signal?: AbortSignal): Promise<boolean> {
    const { objects } = await this.#store.list(`${name}/`, { limit: 1, signal });
    const folder = objects[0]?.key.slice(name.length + 1).split('/')[0];
    return folder !== undefined && !isUid(folder) && (await this.newest(name, signal)) === undefined;
  }

  /** @throws FailedPrecondition */
  async refuseLayoutOf01(kind: string, name: string, signal?: AbortSignal): Promise<void> {
    if (await this.isOfLayout01(name, signal)) throw new FailedPrecondition(kind, name, layoutOf01);
  }

  async #create(name: string, incarnation: Incarnation, signal: AbortSignal | undefined): Promise<boolean> {
    const { number, uid, deleted, facts } = incarnation;
    if (number >= 10 ** DIGITS) throw new FailedPrecondition('name', name, `it was used ${number - 1} times, which is the limit`);
    const { bytes } = sealJson({ format: FORMAT, name, number, uid, deleted, facts, writer: randomUUID() }, SEAL);
    const outcome = await createExclusive(this.#store, keyOf(name, number), bytes, { contentType: 'application/json', signal });
    if (outcome === 'created') this.#remember(name, incarnation);
    return outcome === 'created';
  }

  async #read(name: string, number: number, signal: AbortSignal | undefined): Promise<Incarnation> {
    const key = keyOf(name, number);
    try {
      const { bytes } = await this.#store.get(key, { maxBytes: maxRecordBytes, signal });
      return decodeIncarnation(key, bytes, name, number);
    } catch (cause) {
      if (cause instanceof ObjectNotFound) throw new DataLoss(key, 'it is missing, although a later one exists', { cause });
      if (cause instanceof ObjectTooLarge) throw new DataLoss(key, cause.message, { cause });
      throw cause;
    }
  }

  #remember(name: string, incarnation: Incarnation): Incarnation {
    const known = this.#known.get(name);
    if (known === undefined || known.number < incarnation.number) this.#known.set(name, incarnation);
    return incarnation;
  }
}

/** @throws DataLoss if the bytes are not this incarnation of the name */
export function decodeIncarnation(key: string, bytes: Buffer, name: string, number: number): Incarnation {
  let found: Incarnation & { readonly format: unknown; readonly name: unknown };
  try {
    found = unsealJson(bytes, SEAL).value as typeof found;
  } catch (cause) {
    if (cause instanceof SealBroken) throw new DataLoss(key, cause.message, { cause });
    throw cause;
  }
  if (found.format !== FORMAT || found.name !== name || found.number !== number || !isUid(found.uid))
    throw new DataLoss(key, `it is not incarnation ${number} of ${name}`);
  return { number, uid: found.uid, deleted: found.deleted, facts: found.facts };
}

/** Why something that version 0.1 stored cannot be used, and what to do. */
export const layoutOf01 =
  'it was stored by version 0.1, and this version cannot read that layout of the store: finish or export it with version 0.1, or delete it';

const buriedUids = ({ facts: { uids } }: Incarnation): string[] => (Array.isArray(uids) ? uids.map(String) : []);

function numberOf(key: string, name: string): number {
  const number = numberIn(key, name);
  if (number === undefined) throw new DataLoss(key, 'it is not the key of an incarnation');
  return number;
}

function numberIn(key: string, name: string): number | undefined {
  const match = /^(\d{8})\.json$/.exec(key.slice(folderOf(name).length + 1));
  return match ? Number(match[1]) : undefined;
}

async function removeAll(store: ObjectStore, prefix: string, signal: AbortSignal | undefined): Promise<void> {
  for await (const { key } of listAll(store, prefix, { signal })) await store.delete(key, { signal });
}
