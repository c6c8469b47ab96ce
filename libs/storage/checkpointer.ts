import { setImmediate as nextTurn } from 'node:timers/promises';
import { type CheckpointSnapshot, type SavedCheckpoint, type SaveOptions, saveCheckpoint } from './checkpoint.js';
import { GROUPS, type Group } from './checkpoint-manifest.js';
import { type ObjectStore, type SignalOption, StorageError } from './object-store.js';
import { bytesOf, type Tensor, type TensorData, viewAs } from './tensor.js';

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
  private isStaging = false;
  private sinceTurn = 0;
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
   * One call at a time.
   * @throws StagingTooSmall; the signal's reason; StorageError when closed, or when another call is under way
   */
  async stage(snapshot: CheckpointSnapshot, { signal }: SignalOption = {}): Promise<void> {
    if (this.isStaging) throw new StorageError(`step ${snapshot.step} cannot be staged while another one is`);
    this.isStaging = true;
    try {
      await settledOrAborted(this.saving, signal);
      this.refuseWhenClosed();
      const neededBytes = GROUPS.flatMap((group) => snapshot[group] ?? []).reduce((sum, { data }) => sum + data.byteLength, 0);
      const maxStagingBytes = this.options.maxStagingBytes ?? 4 * 2 ** 30;
      if (neededBytes > maxStagingBytes) throw new StagingTooSmall(neededBytes, maxStagingBytes);
      const copy = await this.copied(snapshot, signal);
      this.refuseWhenClosed();
      this.state = { ...this.state, inFlightStep: snapshot.step, savedBytes: 0, totalBytes: neededBytes };
      this.saving = this.save(copy);
    } finally {
      this.isStaging = false;
      if (this.ending.signal.aborted) this.staging.clear();
    }
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

  private refuseWhenClosed(): void {
    if (this.ending.signal.aborted) throw new StorageError('the checkpointer is closed');
  }

  private async copied(snapshot: CheckpointSnapshot, signal?: AbortSignal): Promise<CheckpointSnapshot> {
    const wanted = new Map<string, number>();
    for (const group of GROUPS) for (const { name, data } of snapshot[group] ?? []) wanted.set(`${group}/${name}`, data.byteLength);
    // What the last snapshot had and this one has not would come on top of the bound.
    for (const [key, { byteLength }] of this.staging) if (wanted.get(key) !== byteLength) this.staging.delete(key);
    const copy: CheckpointSnapshot = { ...snapshot };
    for (const group of GROUPS) {
      const tensors = snapshot[group];
      if (tensors === undefined) continue;
      const copies: Tensor[] = [];
      for (const tensor of tensors) copies.push({ ...tensor, data: await this.copiedData(group, tensor, signal) });
      copy[group] = copies;
    }
    return copy;
  }

  private async copiedData(group: Group, { name, dtype, data }: Tensor, signal?: AbortSignal): Promise<TensorData> {
    const key = `${group}/${name}`;
    const bytes = bytesOf(data);
    const target = this.staging.get(key) ?? new Uint8Array(bytes.byteLength);
    this.staging.set(key, target);
    for (let at = 0; at < bytes.byteLength; at += STRETCH_BYTES) {
      const piece = bytes.subarray(at, at + STRETCH_BYTES);
      target.set(piece, at);
      this.sinceTurn += piece.byteLength;
      if (this.sinceTurn >= STRETCH_BYTES) {
        this.sinceTurn = 0;
        await nextTurn();
        signal?.throwIfAborted();
        this.refuseWhenClosed();
      }
    }
    return viewAs(dtype, target);
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
