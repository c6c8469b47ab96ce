/** Which runs this process may claim: those for which it has Gloo, the evaluator, the engine and the numerics that they need. */
import { collectivesAvailable } from '#collectives/index.js';
import type { ObjectStore } from '#storage/object-store.js';
import type { Logger } from '#telemetry/logger.js';
import type { QueueEntry } from '#work/queue-index.js';
import type { EvaluatorClient } from '../peers.js';
import type { RunView } from '../run/run-state.js';
import { EngineChoices, engineName, settledEngine } from './engine-choices.js';
import { EngineHere } from './engine-here.js';
import { EvaluatorHere } from './evaluator-here.js';
import { ExactNumerics } from './exact-numerics.js';
import { WorkersHere } from './group/workers-here.js';
import type { RunPrograms } from './run-program.js';

export interface RunsHereOptions {
  readonly store: ObjectStore;
  readonly programs: RunPrograms;
  /** Undefined: this worker was started without. */
  readonly evaluator: EvaluatorClient | undefined;
  readonly logger: Logger;
  /** See EngineHereOptions and ExactNumericsOptions. */
  readonly onLeft: { readonly engine: () => void; readonly numerics: () => void };
  /** Default collectivesAvailable. */
  readonly available?: typeof collectivesAvailable;
}

export class RunsHere {
  readonly choices: EngineChoices;
  readonly evaluator: EvaluatorHere;
  readonly #workers: WorkersHere;
  readonly #engines: EngineHere;
  readonly #numerics: ExactNumerics;

  constructor({ store, programs, evaluator, logger, onLeft, available = collectivesAvailable }: RunsHereOptions) {
    this.choices = new EngineChoices(programs, logger);
    this.evaluator = new EvaluatorHere({ store, logger, evaluator });
    this.#workers = new WorkersHere({ store, logger, available });
    this.#engines = new EngineHere({ programs, logger, onLeft: onLeft.engine });
    this.#numerics = new ExactNumerics({ programs, store, logger, onLeft: onLeft.numerics });
  }

  /** Chooses the engine for a run that is about to be claimed. If this process must leave it to others, its log and the run's status say why. */
  async allow(entry: QueueEntry, view: RunView, signal: AbortSignal): Promise<boolean> {
    if (!(await this.#workers.allow(entry, view, signal)) || !(await this.evaluator.allow(entry, view, signal))) return false;
    const chosen = await this.choices.choose(view, signal);
    return (await this.#engines.allow(view, engineName(chosen))) && (await this.#numerics.allow(view, chosen, signal));
  }

  /** Whether it could claim the run, as `allow` decides it, but nothing is written, logged or tried. @throws errors of the store; the signal's reason */
  async could(view: RunView, signal: AbortSignal): Promise<boolean> {
    if (!this.#workers.suffices(view) || !this.evaluator.suffices(view)) return false;
    const settled = await settledEngine(view);
    if (settled === undefined) return true;
    return (await this.#engines.works(view, engineName(settled.engine))) && (await this.#numerics.fits(view, settled.engine, signal));
  }
}
