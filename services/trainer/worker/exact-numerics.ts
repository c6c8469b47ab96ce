/**
 * A run that asks for exact resumption (`exact`) is only resumed with the numerics of its newest checkpoint. A worker with other numerics
 * leaves the run in the queue and logs this.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { ExecutorUnavailable } from '#engine/index.js';
import type { Engine } from '#protocol/dropstream/v1/engine_types.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { manifestKeyOf } from '#work/checkpoint-keys.js';
import { asResolved } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';
import { engineName } from './engine-choices.js';
import { newestNumerics } from './newest-numerics.js';
import type { RunPrograms } from './run-program.js';

/** The worker's numerics differ from the checkpoint's, and the run asks for exact resumption. */
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
  readonly programs: RunPrograms;
  readonly store: ObjectStore;
  readonly logger: Logger;
  /** Called for every run that is left to other workers, once per checkpoint. */
  readonly onLeft: () => void;
}

interface Judged {
  readonly fits: boolean;
  /** For the log of this worker. */
  readonly seen: object;
  isTold: boolean;
}

/** Largest number of cached decisions. */
const remembered = 1024;

export class ExactNumerics {
  readonly #options: ExactNumericsOptions;
  /** By manifest of the newest checkpoint; neither its numerics nor this worker's can change. */
  readonly #judged = new RecentMap<string, Judged>(remembered);

  constructor(options: ExactNumericsOptions) {
    this.#options = options;
  }

  /** Tells whether this worker's numerics allow it to claim the run for this engine. @throws errors of the store; the signal's reason */
  async fits(view: RunView, engine: Engine, signal: AbortSignal): Promise<boolean> {
    return (await this.#judge(view, engine, signal))?.fits ?? true;
  }

  /** The same for a run that may be claimed: if they do not, this is logged and counted. */
  async allow(view: RunView, engine: Engine, signal: AbortSignal): Promise<boolean> {
    const judged = await this.#judge(view, engine, signal);
    if (judged === undefined || judged.fits) return true;
    if (judged.isTold) return false;
    judged.isTold = true;
    this.#options.onLeft();
    this.#options.logger.warn(judged.seen, 'an exact run waits for a worker with the numerics of its checkpoint');
    return false;
  }

  async #judge({ run, checkpoints }: RunView, engine: Engine, signal: AbortSignal): Promise<Judged | undefined> {
    if (checkpoints[0] === undefined || run.spec?.exact !== true) return undefined;
    const newest = manifestKeyOf(checkpoints[0].name, run.uid);
    const known = this.#judged.get(newest);
    if (known !== undefined) return known;
    const found = await newestNumerics(this.#options.store, checkpoints, run.uid, signal);
    // Without a readable checkpoint, the attempt itself reports what is wrong with the run.
    if (found === undefined) return undefined;
    const planned = { uid: run.uid, spec: asResolved(run.spec), like: found.fingerprint };
    const here = await this.#options.programs.fingerprint(planned, engineName(engine)).then(fingerprintLine, (error) => {
      if (error instanceof ExecutorUnavailable) return error.message;
      throw error;
    });
    const seen = { run: run.name, checkpoint: found.checkpoint, wanted: found.fingerprint, found: here };
    const judged = { fits: here === found.fingerprint, seen, isTold: false };
    this.#judged.set(newest, judged);
    return judged;
  }
}
