/**
 * Walks a whole store in the order of its keys and reports what is damaged or left over. One incarnation of a name is held in memory at a time, and for
 * one project the pins of checkpoints and the uids of what has not ended.
 */
import { parseLocation } from '#data/manifest/manifest-location.js';
import { manifestKey } from '#data/manifest/manifest-store.js';
import { listAll } from '#storage/object-store.js';
import { parseEntrySegment } from '#work/name-index.js';
import {
  type CheckContext,
  deleteKeys,
  exists,
  hashObject,
  isOld,
  readObject,
  reportWhenOld,
  SideBySide,
  type StoredObject,
} from './check-context.js';
import { readIncarnations } from './check-incarnations.js';
import { NameCheck } from './check-name.js';
import { PinsCheck } from './check-pins.js';
import { parseKey } from './key-grammar.js';

export interface StoreTotals {
  objects: number;
  bytes: number;
}

/** @param onProgress called after every object */
export async function checkStore(context: CheckContext, onProgress: (totals: StoreTotals, key: string) => void): Promise<StoreTotals> {
  const totals: StoreTotals = { objects: 0, bytes: 0 };
  const others = new SideBySide();
  /** Manifests of data sets that no project has, as far as was seen. */
  const unused = new Map<string, StoredObject>();
  const shared = new Set<string>();
  let project: { readonly id: string; readonly pins: PinsCheck } | undefined;
  let name: { readonly name: string; readonly check: NameCheck } | undefined;
  for await (const { key, sizeBytes, lastModified } of listAll(context.store, '', { signal: context.signal })) {
    totals.objects++;
    totals.bytes += sizeBytes;
    onProgress(totals, key);
    const parsed = parseKey(key);
    if (parsed === undefined) {
      context.report({ kind: 'key-unknown', where: key, detail: `${sizeBytes} bytes` });
      continue;
    }
    const object: StoredObject = { parsed, sizeBytes, writtenMs: lastModified.getTime() };
    const owner = ownerOf(key);
    if (name !== undefined && owner?.name !== name.name) {
      await name.check.finish();
      name = undefined;
    }
    if (owner === undefined) {
      const { sha256 = '' } = parsed.parts;
      if (parsed.kind === 'sharedLocation') shared.add(sha256);
      if (parsed.kind === 'dataManifest' && !shared.has(sha256)) unused.set(sha256, object);
      if (parsed.kind === 'dataLocation') unused.delete(sha256);
      await others.add(() => checkOther(context, object));
      continue;
    }
    // Other objects of the project lie between its evaluations and its runs.
    if (owner.project !== project?.id) {
      project?.pins.finish();
      project = { id: owner.project, pins: new PinsCheck(context) };
    }
    name ??= { name: owner.name, check: await NameCheck.open(context, owner, project.pins) };
    await name.check.take(object);
  }
  await name?.check.finish();
  project?.pins.finish();
  await others.done();
  for (const object of unused.values()) reportUnused(context, object);
  return totals;
}

/** The run, schedule or evaluation to which a key belongs. */
function ownerOf(key: string) {
  const found = /^(projects\/([^/]+)\/(runs|schedules|evaluations)\/([^/]+))\//.exec(key);
  if (!found) return undefined;
  const [, name = '', project = '', collection = '', id = ''] = found;
  return { name, project, collection, id };
}

async function checkOther(context: CheckContext, object: StoredObject): Promise<void> {
  const { kind, key, parts } = object.parsed;
  switch (kind) {
    case 'index':
      return await checkHint(context, object, `projects/${parts.project}/${parts.collection}`);
    case 'runQueue':
    case 'runWaiting':
      return await checkHint(context, object, `projects/${parts.project}/runs`);
    case 'evaluationQueue':
    case 'evaluationWaiting':
      return await checkHint(context, object, `projects/${parts.project}/evaluations`);
    case 'dataManifest':
      return await checkDataManifest(context, object, parts.sha256!);
    case 'dataLocation':
      return await checkLocation(context, key, parts.sha256!);
    case 'sharedLocation':
      return context.report({ kind: 'location-shared', where: key, detail: 'it gives no project the data set' });
    case 'image':
      return await checkImage(context, key, parts.sha256!, object.sizeBytes);
    case 'lookMark':
      return;
    case 'noneOf01':
      // Whatever it is, it only says whether lists wait.
      return;
    case 'probe': {
      const repair = (signal: AbortSignal) => deleteKeys(context, [key], signal);
      return reportWhenOld(
        context,
        { kind: 'probe-left', where: key, detail: 'it tested whether the store creates exclusively', repair },
        object,
      );
    }
    default:
      context.report({ kind: 'layout-of-0.1', where: key, detail: 'an entry of an index or a queue' });
  }
}

/** An entry of an index or a queue is a hint that may outlive what it points to, but not for long. */
async function checkHint(context: CheckContext, object: StoredObject, folder: string): Promise<void> {
  const { key, parts } = object.parsed;
  const entry = parseEntrySegment(parts.entry!);
  if (entry === undefined) return;
  const status = async () => (await readIncarnations(context, `${folder}/${entry.id}`, false)).statusOf(entry.uid);
  if ((await status()) !== 'deleted') return;
  const repair = (signal: AbortSignal) => deleteKeys(context, [key], signal);
  reportWhenOld(context, { kind: 'hint-orphaned', where: key, detail: `${folder}/${entry.id} with this uid is deleted`, repair }, object);
}

async function checkDataManifest(context: CheckContext, object: StoredObject, sha256: string): Promise<void> {
  const { sizeBytes, parsed } = object;
  const found = await hashObject(context, parsed.key, sizeBytes);
  if (found !== undefined && found !== sha256)
    context.report({ kind: 'manifest-damaged', where: parsed.key, detail: `the SHA-256 of its bytes is ${found}` });
}

/** The location is written right after the manifest. */
function reportUnused(context: CheckContext, object: StoredObject): void {
  if (isOld(context, object))
    context.report({ kind: 'location-missing', where: object.parsed.key, detail: 'no project has this manifest of a data set' });
}

async function checkLocation(context: CheckContext, key: string, sha256: string): Promise<void> {
  if (!(await exists(context, manifestKey(sha256))))
    context.report({ kind: 'manifest-missing', where: manifestKey(sha256), detail: `${key} refers to it` });
  const bytes = await readObject(context, key, 1 << 16);
  if (bytes === undefined) return;
  const { damage } = parseLocation(bytes);
  if (damage !== undefined) context.report({ kind: 'location-damaged', where: key, detail: damage });
}

async function checkImage(context: CheckContext, key: string, sha256: string, sizeBytes: number): Promise<void> {
  if (!context.deep) return;
  const found = await hashObject(context, key, sizeBytes);
  if (found !== undefined && found !== sha256)
    context.report({ kind: 'image-damaged', where: key, detail: `the SHA-256 of its bytes is ${found}` });
}
