/**
 * Decides which engine a claim is for. A spec names it, or leaves it to the worker (AUTO). Then the worker tries what its machine has, and the claim
 * says what was chosen and why. From its first checkpoint on, a run stays on its engine where that can run.
 */
import { RecentMap } from '#bounds/recent-map.js';
import { type EngineName, missingFor } from '#engine/index.js';
import { hidePlaces } from '#errors/hide-places.js';
import { Engine } from '#protocol/dropstream/v1/engine_types.js';
import { engines } from '#spec/words.js';
import type { Logger } from '#telemetry/logger.js';
import { asResolved } from '../run/run-spec.js';
import type { RunView } from '../run/run-state.js';
import type { RunPrograms } from './run-program.js';

/** How long a choice may take: a trial on each of two engines. */
export const choosingMs = 120_000;

/** The fields of a claim that say how it is computed. */
interface ClaimedEngine {
  readonly engine: Engine;
  readonly engineReason: string;
}

/** Largest number of choices that are kept between looking at a run and claiming it. */
const remembered = 1024;

export class EngineChoices {
  readonly #programs: RunPrograms;
  readonly #logger: Logger;
  /** By uid of the run; replaced at each look before a claim. */
  readonly #chosen = new RecentMap<string, ClaimedEngine>(remembered);

  constructor(programs: RunPrograms, logger: Logger) {
    this.#programs = programs;
    this.#logger = logger;
  }

  /** Chooses the engine of a claim of this run. @throws the signal's reason */
  async choose(view: RunView, signal: AbortSignal): Promise<Engine> {
    const claim = await engineFor(view, this.#programs, signal);
    this.#chosen.set(view.run.uid, claim);
    const { engine, engineReason } = claim;
    if (engineReason !== '')
      this.#logger.info({ run: view.run.name, engine: engineName(engine), reason: engineReason }, 'an engine was chosen');
    return engine;
  }

  /** The next claim goes on with the engine of the present one, whose state this process has in memory. */
  keep({ run }: RunView): void {
    this.#chosen.set(run.uid, {
      engine: run.engine,
      engineReason: run.spec?.engine === Engine.AUTO ? 'the workers of the run computed with it' : '',
    });
  }

  /** What was chosen last. */
  of({ run }: RunView): ClaimedEngine {
    const chosen = this.#chosen.get(run.uid);
    if (chosen === undefined) throw new Error(`no engine was chosen for ${run.name}`);
    return chosen;
  }
}

/** The engine of the next claim where it is not the machine that decides; undefined: one of those that work here will be chosen. */
export async function settledEngine({ run, checkpoints }: RunView): Promise<ClaimedEngine | undefined> {
  if (run.spec?.engine !== Engine.AUTO) return { engine: run.spec?.engine ?? Engine.UNSPECIFIED, engineReason: '' };
  // An exact run is not claimed without its engine (exact-numerics.ts).
  const stays = checkpoints.length > 0 && (run.spec.exact || (await missingFor(engineName(run.engine))) === undefined);
  return stays ? { engine: run.engine, engineReason: 'the checkpoints of the run were made with it' } : undefined;
}

async function engineFor(view: RunView, programs: RunPrograms, signal: AbortSignal): Promise<ClaimedEngine> {
  const settled = await settledEngine(view);
  if (settled !== undefined) return settled;
  const { uid, spec } = view.run;
  // Only the engine of a spec that says AUTO is not settled.
  const { engine, reason } = await programs.choose({ uid, spec: asResolved(spec!) }, signal);
  return { engine: engines.fromWord(engine), engineReason: hidePlaces(reason) };
}

/** The engine that the newest claim is for. */
export const claimedEngine = ({ run }: RunView): EngineName => engineName(run.engine || run.spec?.engine);

/** The word of an engine that computes. @throws RangeError for any other number */
export function engineName(engine: Engine | undefined): EngineName {
  const word = engines.wordOf(engine);
  if (word === 'auto') throw new RangeError('engine: AUTO is not one that computes');
  return word;
}
