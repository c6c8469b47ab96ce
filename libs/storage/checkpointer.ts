import { setImmediate as nextTurn } from 'node:timers/promises';
import { type CheckpointSnapshot, type SavedCheckpoint, type SaveOptions, saveCheckpoint } from './checkpoint.js';
import { GROUPS, type Group } from './checkpoint-manifest.js';
import { type ObjectStore, type SignalOption, StorageError } from './object-store.js';
import { bytesOf, type Tensor, viewAs } from './tensor.js';

export class StagingTooSmall extends StorageError {
  constructor(
    readonly neededBytes: number,
    readonly maxStagingBytes: number,
  ) {
    super(`a checkpoint needs ${neededBytes} bytes of staging, ${maxStagingBytes} are allowed`);
  }
}

export interface CheckpointerOptions extends Pick<SaveOptions, 'maxPartBytes'> {
  store: ObjectStore;
  /** projects/P/runs/R/checkpoints */
  prefix: string;
  /** Memory for the one copy of a snapshot. Default 4 GiB. */
  maxStagingBytes?: number;
  /** After the manifest is in the store and before the next save begins: append the log record here. Its failure is the save's. */
  onCommitted: (saved: SavedCheckpoint, signal: AbortSignal) => Promise<void>;
  /** A save that failed; the run goes on from the checkpoint before. */
  onFailed: (step: number, error: unknown) => void;
}

export interface CheckpointerStatus {
  /** Step of the save under way. */
  inFlightStep: number | undefined;
  savedBytes: number;
  totalBytes: number;
  committed: number;
  failed: number;
  lastError: unknown;
}

/** How much is copied before other events get their turn: about 10 ms. */
const STRETCH_BYTES = 32 << 20;

/**
 * Saves checkpoints beside the training: `stage` copies the snapshot once into staging memory, which is kept for the next one,
 * and returns; the copy is then written. One save at a time. The owner calls `drain` at shutdown, then `close`.
 */
export class Checkpointer {
  private readonly staging = new Map<string, Uint8Array>();
  private readonly ending = new AbortController();
  private saving: Promise<void> = Promise.resolve();
  private state: CheckpointerStatus = {
    inFlightStep: undefined,
    savedBytes: 0,
    totalBytes: 0,
    committed: 0,
    failed: 0,
    lastError: undefined,
  };

  constructor(private readonly options: CheckpointerOptions) {}

  get status(): Readonly<CheckpointerStatus> {
    return { ...this.state };
  }

  /**
   * Resolves when the snapshot is copied: the caller may then change its tensors. Waits first until the save before is done.
   * Calls must not overlap.
   * @throws StagingTooSmall; the signal's reason; an error when closed
   */
  async stage(snapshot: CheckpointSnapshot, { signal }: SignalOption = {}): Promise<void> {
    await settledOrAborted(this.saving, signal);
    if (this.ending.signal.aborted) throw new StorageError('the checkpointer is closed');
    const neededBytes = GROUPS.flatMap((group) => snapshot[group] ?? []).reduce((sum, { data }) => sum + data.byteLength, 0);
    const maxStagingBytes = this.options.maxStagingBytes ?? 4 * 2 ** 30;
    if (neededBytes > maxStagingBytes) throw new StagingTooSmall(neededBytes, maxStagingBytes);
    this.dropUnused(snapshot);
    const copy: CheckpointSnapshot = { ...snapshot };
    for (const group of GROUPS) {
      const tensors = snapshot[group];
      if (tensors !== undefined) copy[group] = await this.copyGroup(group, tensors, signal);
    }
    this.state = { ...this.state, inFlightStep: snapshot.step, savedBytes: 0, totalBytes: neededBytes };
    this.saving = this.save(copy);
  }

  /** Waits until what was staged is committed or has failed. */
  async drain({ signal }: SignalOption = {}): Promise<void> {
    await settledOrAborted(this.saving, signal);
  }

  /** Ends a save under way (it stays invisible) and gives the staging memory back. */
  async close(): Promise<void> {
    this.ending.abort(new StorageError('the checkpointer was closed'));
    await this.saving;
    this.staging.clear();
  }

  /** Memory of tensors that this snapshot does not have would otherwise add to the bound. */
  private dropUnused(snapshot: CheckpointSnapshot): void {
    const used = new Set(GROUPS.flatMap((group) => (snapshot[group] ?? []).map(({ name }) => `${group}/${name}`)));
    for (const key of this.staging.keys()) if (!used.has(key)) this.staging.delete(key);
  }

  private async copyGroup(group: Group, tensors: readonly Tensor[], signal?: AbortSignal): Promise<Tensor[]> {
    const copies: Tensor[] = [];
    let sinceTurn = 0;
    for (const tensor of tensors) {
      const key = `${group}/${tensor.name}`;
      const bytes = bytesOf(tensor.data);
      let target = this.staging.get(key);
      if (target?.byteLength !== bytes.byteLength) {
        target = new Uint8Array(bytes.byteLength);
        this.staging.set(key, target);
      }
      target.set(bytes);
      copies.push({ ...tensor, data: viewAs(tensor.dtype, target) });
      sinceTurn += bytes.byteLength;
      if (sinceTurn >= STRETCH_BYTES) {
        sinceTurn = 0;
        await nextTurn();
        signal?.throwIfAborted();
      }
    }
    return copies;
  }

  private async save(snapshot: CheckpointSnapshot): Promise<void> {
    const { store, prefix, maxPartBytes, onCommitted, onFailed } = this.options;
    const { signal } = this.ending;
    try {
      const onProgress = (savedBytes: number) => {
        this.state = { ...this.state, savedBytes };
      };
      const saved = await saveCheckpoint(store, prefix, snapshot, {
        signal,
        onProgress,
        ...(maxPartBytes === undefined ? {} : { maxPartBytes }),
      });
      await onCommitted(saved, signal);
      this.state = { ...this.state, inFlightStep: undefined, committed: this.state.committed + 1 };
    } catch (error) {
      this.state = { ...this.state, inFlightStep: undefined, failed: this.state.failed + 1, lastError: error };
      onFailed(snapshot.step, error);
    }
  }
}

/** @param work never rejects */
async function settledOrAborted(work: Promise<void>, signal?: AbortSignal): Promise<void> {
  if (!signal) return work;
  signal.throwIfAborted();
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
