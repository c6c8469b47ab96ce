/** Checks everything below one name of a run, schedule or evaluation, incarnation by incarnation. */
import type { CheckContext, StoredObject } from './check-context.js';
import { IncarnationCheck, type Owner, StrayIncarnation } from './check-incarnation.js';
import { type Incarnations, readIncarnations } from './check-incarnations.js';
import type { PinsCheck } from './check-pins.js';
import { isOf01 } from './key-grammar.js';

export class NameCheck {
  #uid: string | undefined;
  #check: IncarnationCheck | undefined;
  #stray: StrayIncarnation | undefined;
  #objectsOf01 = 0;
  #sawNewest = false;

  private constructor(
    private readonly context: CheckContext,
    private readonly owner: Omit<Owner, 'uid'>,
    private readonly incarnations: Incarnations,
    private readonly pins: PinsCheck,
  ) {}

  static async open(context: CheckContext, owner: Omit<Owner, 'uid'>, pins: PinsCheck): Promise<NameCheck> {
    return new NameCheck(context, owner, await readIncarnations(context, owner.name), pins);
  }

  /** Takes the objects of the name in the order of their keys. */
  async take(object: StoredObject): Promise<void> {
    const { kind, parts } = object.parsed;
    if (kind === 'incarnation') return;
    if (isOf01(kind)) {
      this.#objectsOf01++;
      return;
    }
    if (this.#uid !== parts.uid) {
      await this.#finishUid();
      this.#begin(parts.uid!);
    }
    await this.#check?.take(object);
    this.#stray?.take(object);
  }

  async finish(): Promise<void> {
    await this.#finishUid();
    const { name } = this.owner;
    const { newest } = this.incarnations;
    if (this.#objectsOf01 > 0) this.context.report({ kind: 'layout-of-0.1', where: name, detail: `${this.#objectsOf01} objects` });
    if (newest !== undefined && !newest.deleted && !this.#sawNewest && newest.facts.imported !== true) {
      // They may have been written since the name was listed.
      const { objects } = await this.context.store.list(`${name}/${newest.uid}/`, { limit: 1, signal: this.context.signal });
      if (objects.length === 0) this.context.report({ kind: 'name-unused', where: name, detail: `its uid ${newest.uid} has no objects` });
    }
  }

  #begin(uid: string): void {
    this.#uid = uid;
    const { newest } = this.incarnations;
    this.#sawNewest ||= newest?.uid === uid;
    // The revisions of a schedule stay after its deletion, for those who watch it, until the name is used again.
    const isKept = newest !== undefined && newest.uid === uid && (!newest.deleted || this.owner.collection === 'schedules');
    if (isKept) this.#check = new IncarnationCheck(this.context, { ...this.owner, uid }, newest, this.pins);
    else this.#stray = new StrayIncarnation(this.context, `${this.owner.name}/${uid}`);
  }

  async #finishUid(): Promise<void> {
    const [uid, check, stray] = [this.#uid, this.#check, this.#stray];
    [this.#uid, this.#check, this.#stray] = [undefined, undefined, undefined];
    if (uid === undefined) return;
    await check?.finish();
    if (stray === undefined) return;
    const status = this.incarnations.statusOf(uid);
    if (status === 'deleted') stray.deleted();
    // It may have been created since the incarnations were read.
    else if ((await readIncarnations(this.context, this.owner.name, false)).statusOf(uid) === 'unknown') stray.unknown();
  }
}
