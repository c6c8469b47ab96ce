/**
 * A worker claims only runs whose engine works here: no GPU, or one that is too small for the model, is no failure of the run. The worker leaves the
 * run in the queue and logs what is missing.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { type EngineName, ExecutorUnavailable } from '#engine/index.js';
import type { Logger } from '#telemetry/logger.js';
import { asResolved } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';
import type { RunPrograms } from './run-program.js';

export interface EngineHereOptions {
  readonly programs: RunPrograms;
  readonly logger: Logger;
  /** Called for every run that is left to other workers, once per reason. */
  readonly onLeft: () => void;
}

/** Largest number of runs that are remembered. */
const remembered = 1024;
/** Time after which a run that was left is looked at again: a driver may be installed, or memory be free by then. */
const lookAgainMs = 30_000;

interface Left {
  readonly reason: string;
  readonly sinceMs: number;
  /** The reason that the log of this worker says. */
  told?: string | undefined;
}

export class EngineHere {
  readonly #options: EngineHereOptions;
  /** The runs that were left, by uid. */
  readonly #left = new RecentMap<string, Left>(remembered);

  constructor(options: EngineHereOptions) {
    this.#options = options;
  }

  /** Tells whether an engine works here for the run. What else is wrong with a run is reported by its attempt. */
  async works({ run }: RunView, engine: EngineName): Promise<boolean> {
    return (await this.#leftFor(run, engine)) === undefined;
  }

  /** The same for a run that may be claimed: if its engine does not work here, this is logged and counted. */
  async allow({ run }: RunView, engine: EngineName): Promise<boolean> {
    const left = await this.#leftFor(run, engine);
    if (left === undefined) return true;
    const { reason, told } = left;
    left.told = reason;
    if (reason === told) return false;
    this.#options.onLeft();
    this.#options.logger.warn({ run: run.name, reason }, 'a run waits for a worker that has its engine');
    return false;
  }

  async #leftFor(run: RunView['run'], engine: EngineName): Promise<Left | undefined> {
    // The native engine is there, or this process would not have started.
    if (run.spec === undefined || engine === 'native') return undefined;
    const before = this.#left.get(run.uid);
    if (before !== undefined && performance.now() - before.sinceMs < lookAgainMs) return before;
    const reason = await this.#options.programs.fingerprint({ uid: run.uid, spec: asResolved(run.spec) }, engine).then(
      () => undefined,
      (error) => (error instanceof ExecutorUnavailable ? error.message : undefined),
    );
    if (reason === undefined) {
      this.#left.delete(run.uid);
      return undefined;
    }
    const left = { reason, sinceMs: performance.now(), told: before?.told };
    this.#left.set(run.uid, left);
    return left;
  }
}
