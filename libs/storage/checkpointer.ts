import { setTimeout as delay } from 'node:timers/promises';
import { orAborted } from '#bounds/or-aborted.js';
import { type CheckpointSnapshot, type SavedCheckpoint, type SaveOptions, saveCheckpoint } from './checkpoint.js';
import type { CheckpointState } from './checkpoint-manifest.js';
import { type Allocate, type ObjectStore, type SignalOption, StorageError, StoreFull, type StoreUnavailable } from './object-store.js';
import { patiently } from './patience.js';

/** A snapshot that is about to be copied. */
export interface StagedSnapshot extends CheckpointState {
  /** Bytes of all its tensors. */
  readonly sizeBytes: number;
  /**
   * Copies the state into `staging`, which has at least sizeBytes, and returns the state's tensors as views of it. It must settle only when nothing
   * writes to `staging` any more. Afterwards, the owner of the state may change it.
   */
  readonly fill: (staging: ArrayBuffer) => Promise<SnapshotTensors>;
}

export type SnapshotTensors = Pick<CheckpointSnapshot, 'weights' | 'ema' | 'optimizer'>;

export class StagingTooSmall extends StorageError {
  constructor(
    readonly neededBytes: number,
    readonly maxStagingBytes: number,
  ) {
    super(`a checkpoint needs ${neededBytes} bytes of staging memory, at most ${maxStagingBytes} are allowed`);
  }
}

export interface CheckpointerOptions extends Pick<SaveOptions, 'maxPartBytes'> {
  store: ObjectStore;
  /** projects/P/runs/R/checkpoints */
  prefix: string;
  /** Bytes of staging memory for the single copy of a snapshot. Default 4 GiB. */
  maxStagingBytes?: number;
  /** Allocates the staging memory. Default: an ordinary ArrayBuffer. */
  allocate?: Allocate;
  /** Called when the manifest is in the store, before the next save begins: append the log record here. If it fails, the save fails. */
  onCommitted: (saved: SavedCheckpoint, signal: AbortSignal) => Promise<void>;
  /** How long each write is repeated that the store does not answer, in ms; default 30 seconds, as for records of a log. */
  storePatienceMs?: number;
  /** Called when a save fails. The run continues; its latest checkpoint is the one before. */
  onFailed: (step: number, error: unknown) => void;
  /**
   * Called when the store has no room for a checkpoint, once for each save: with the error before the waiting, and with undefined after it. Must not
   * throw.
   */
  onFull?: (error: StoreFull | undefined) => Promise<void>;
  /** Aborts when a save must no longer wait for the store or for room. */
  hurry?: AbortSignal;
  /** First pause in ms before a save is tried again for which there was no room; it doubles up to 32 times as much. Default 1000. */
  fullPauseMs?: number;
}

export interface CheckpointerStatus {
  /** Step of the save in progress. */
  inFlightStep: number | undefined;
  savedBytes: number;
  totalBytes: number;
  committed: number;
  failed: number;
  lastError: unknown;
}

/**
 * Saves checkpoints while training goes on. `stage` waits until the snapshot is copied into staging memory, which is reused for the next one, and
 * returns; the copy is written in the background. There is one save at a time. At shutdown, the owner calls `drain` and then `close`.
 */
export class Checkpointer {
  private staging: ArrayBuffer | undefined;
  private readonly ending = new AbortController();
  private saving: Promise<void> = Promise.resolve();
  private isStaging = false;
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
   * Resolves when the snapshot is copied; then its owner may change it. First waits for the save before it. Must not be called again before it
   * resolves.
   * @throws StagingTooSmall; the signal's reason; whatever `fill` throws; StorageError if closed, or if another call is in progress
   */
  async stage({ sizeBytes, fill, ...state }: StagedSnapshot, { signal }: SignalOption = {}): Promise<void> {
    if (this.isStaging) throw new StorageError(`step ${state.step} cannot be staged while another one is`);
    this.isStaging = true;
    try {
      await (signal ? orAborted(this.saving, signal) : this.saving);
      this.refuseWhenClosed();
      const maxStagingBytes = this.options.maxStagingBytes ?? 4 * 2 ** 30;
      if (sizeBytes > maxStagingBytes) throw new StagingTooSmall(sizeBytes, maxStagingBytes);
      // Old memory of another size is released before new memory is allocated, so that both together never exceed the bound.
      if (this.staging?.byteLength !== sizeBytes) this.staging = undefined;
      this.staging ??= this.options.allocate?.(sizeBytes) ?? new ArrayBuffer(sizeBytes);
      const tensors = await fill(this.staging);
      signal?.throwIfAborted();
      this.refuseWhenClosed();
      this.state = { ...this.state, inFlightStep: state.step, savedBytes: 0, totalBytes: sizeBytes };
      this.saving = this.save({ ...state, ...tensors });
    } finally {
      this.isStaging = false;
      if (this.ending.signal.aborted) this.staging = undefined;
    }
  }

  /** Waits until the staged snapshot is committed or has failed. */
  async drain({ signal }: SignalOption = {}): Promise<void> {
    await (signal ? orAborted(this.saving, signal) : this.saving);
  }

  /** Aborts the save in progress, whose checkpoint stays invisible, and releases the staging memory. */
  async close(): Promise<void> {
    this.ending.abort(new StorageError('the checkpointer was closed'));
    await this.saving;
    this.staging = undefined;
  }

  private refuseWhenClosed(): void {
    if (this.ending.signal.aborted) throw new StorageError('the checkpointer is closed');
  }

  private async save(snapshot: CheckpointSnapshot): Promise<void> {
    const { onCommitted, onFailed } = this.options;
    const { signal } = this.ending;
    try {
      const saved = await this.saveWithRoom(snapshot, signal);
      await onCommitted(saved, signal);
      this.state = { ...this.state, inFlightStep: undefined, committed: this.state.committed + 1 };
    } catch (error) {
      this.state = { ...this.state, inFlightStep: undefined, failed: this.state.failed + 1, lastError: error };
      onFailed(snapshot.step, error);
    }
  }

  /** A full disk is waited for, because a run that trained on without checkpoints would lose everything at its end. */
  private async saveWithRoom(snapshot: CheckpointSnapshot, signal: AbortSignal): Promise<SavedCheckpoint> {
    const { store, prefix, maxPartBytes, onFull, hurry, fullPauseMs = 1000, storePatienceMs = 30_000 } = this.options;
    const ending = hurry === undefined ? signal : AbortSignal.any([signal, hurry]);
    const onProgress = (savedBytes: number) => {
      this.state = { ...this.state, savedBytes };
    };
    // A store that is away for seconds must not cost the checkpoint of an epoch, which would then never be evaluated.
    const patienceMs = (error: StoreUnavailable): number => (error instanceof StoreFull || hurry?.aborted ? 0 : storePatienceMs);
    const write = <T>(once: () => Promise<T>): Promise<T> => patiently(once, { patienceMs, signal, hurry });
    const options = { signal, onProgress, write, ...(maxPartBytes === undefined ? {} : { maxPartBytes }) };
    let waits = false;
    try {
      for (let pauseMs = fullPauseMs; ; pauseMs = Math.min(32 * fullPauseMs, 2 * pauseMs)) {
        try {
          return await saveCheckpoint(store, prefix, snapshot, options);
        } catch (error) {
          if (!(error instanceof StoreFull) || ending.aborted) throw error;
          if (!waits) await onFull?.(error);
          waits = true;
        }
        await delay(pauseMs, undefined, { signal: ending }).catch(() => undefined);
      }
    } finally {
      if (waits) await onFull?.(undefined);
    }
  }
}
