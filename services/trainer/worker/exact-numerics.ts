/**
 * Runs that ask for exact resumption (`exact`) are only continued with the numerics of their newest checkpoint. A worker that has others
 * leaves the run in the queue, for a worker that fits, and says so in its log.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { ExecutorUnavailable } from '#engine/index.js';
import { readManifest } from '#storage/checkpoint.js';
import { CheckpointDamaged } from '#storage/checkpoint-manifest.js';
import { ObjectNotFound, type ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { manifestKeyOf } from '../run/run-log.js';
import { asResolved } from '../run/run-spec.js';
import type { KnownCheckpoint, RunView } from '../run/run-state.js';
import { fingerprintOfRun } from './run-program.js';

/** The numerics are not those of the checkpoint, and the run wants exactly those (`exact`). */
export class OtherNumerics extends Error {
  override readonly name = 'OtherNumerics';
  constructor(
    readonly checkpoint: string,
    readonly wanted: string,
    readonly found: string,
  ) {
    super(`${checkpoint} was made with ${wanted}; this worker has ${found}, and the run asks for exact resumption`);
  }
}

export interface ExactNumericsOptions {
  readonly store: ObjectStore;
  readonly logger: Logger;
  /** Told of every run that is left to others, once for each of its newest checkpoints. */
  readonly onLeft: () => void;
}

/** Decisions that are remembered; one that was forgotten is made, and logged, once more. */
const remembered = 1024;

export class ExactNumerics {
  readonly #options: ExactNumericsOptions;
  /** By name of the newest checkpoint: neither its numerics nor this worker's ever change. */
  readonly #fits = new RecentMap<string, boolean>(remembered);

  constructor(options: ExactNumericsOptions) {
    this.#options = options;
  }

  /** Whether this worker may claim the run, as far as its numerics are concerned. @throws what the store throws; the signal's reason */
  async allow({ run, checkpoints }: RunView, signal: AbortSignal): Promise<boolean> {
    const newest = checkpoints[0]?.name;
    if (newest === undefined || run.spec?.exact !== true) return true;
    const known = this.#fits.get(newest);
    if (known !== undefined) return known;
    const found = await this.#wanted(checkpoints, signal);
    // Without any checkpoint to compare with, the attempt itself says what is wrong with the run.
    if (found === undefined) return true;
    const here = await fingerprintOfRun(asResolved(run.spec)).then(fingerprintLine, (error) => {
      if (error instanceof ExecutorUnavailable) return error.message;
      throw error;
    });
    const fits = here === found.fingerprint;
    this.#fits.set(newest, fits);
    if (!fits) {
      this.#options.onLeft();
      const seen = { run: run.name, checkpoint: found.checkpoint, wanted: found.fingerprint, found: here };
      this.#options.logger.warn(seen, 'an exact run waits for a worker with the numerics of its checkpoint');
    }
    return fits;
  }

  /** The numerics of the newest checkpoint that is there; the attempt will pass over damaged ones in the same way. */
  async #wanted(checkpoints: readonly KnownCheckpoint[], signal: AbortSignal) {
    for (const { name } of checkpoints) {
      try {
        const { manifest } = await readManifest(this.#options.store, manifestKeyOf(name), { signal });
        return { checkpoint: name, fingerprint: manifest.fingerprint };
      } catch (error) {
        if (!(error instanceof CheckpointDamaged || error instanceof ObjectNotFound)) throw error;
      }
    }
    return undefined;
  }
}
