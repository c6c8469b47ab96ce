/**
 * The programs of runs: each run's model, with the options of its spec, on the engine of its claim. Before a run is claimed, its engine is chosen, looked
 * for and compared with that of its checkpoint; then the attempt compiles it. All of them share one plan, since planning a large model takes a while.
 */
import { RecentMap } from '#bounds/recent-map.js';
import {
  type ChosenEngine,
  type CompileOptions,
  chooseEngine,
  type EngineName,
  executorOf,
  type Fingerprint,
  type PlannedProgram,
  type Program,
  planProgram,
} from '#engine/index.js';
import { precisions } from '#spec/words.js';
import { fingerprintLine } from '#training/checkpoint-metadata.js';
import { preparedBatches } from '../run/batch-plans.js';
import { modelOf } from '../run/model-catalog.js';
import type { ResolvedSpec } from '../run/run-spec.js';

/** A run that is looked at or attempted. */
interface PlannedRun {
  readonly uid: string;
  readonly spec: ResolvedSpec;
  /** The numerics of the checkpoint that it goes on from: what a machine may choose is as it was then. */
  readonly like?: string | undefined;
}

/** Largest number of plans that are kept between looking at a run and attempting it. */
const remembered = 8;
/** Age from which a plan is not used: another program may have taken the memory that a GPU had, or its driver may be another one. */
const plannedForMs = 30_000;

export class RunPrograms {
  /** By uid of the run, engine and numerics to go on with. */
  readonly #plans = new RecentMap<string, { readonly plan: Promise<PlannedProgram>; readonly sinceMs: number }>(remembered);

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** The program of an attempt. Its plan is not used again. @throws UnknownModel, ExecutorUnavailable; RangeError for options that the executor lacks */
  async compile(run: PlannedRun, engine: EngineName): Promise<Program> {
    const plan = this.#planned(run, engine);
    for (const one of [run, { ...run, like: undefined }]) this.#plans.delete(keyOf(one, engine));
    return (await plan).create();
  }

  /** The numerics that the program would have on this machine. @throws what compile throws */
  async fingerprint(run: PlannedRun, engine: EngineName): Promise<Fingerprint> {
    return (await this.#planned(run, engine)).fingerprint;
  }

  /** The engine that is best for the run on this machine. @throws the signal's reason */
  choose(run: PlannedRun, signal: AbortSignal): Promise<ChosenEngine> {
    return chooseEngine((engine) => this.#planned(run, engine), optionsOf(run.spec), signal);
  }

  #planned(run: PlannedRun, engine: EngineName): Promise<PlannedProgram> {
    const key = keyOf(run, engine);
    const known = this.#known(key);
    if (known !== undefined) return known;
    const { inputSize, nbClasses, batchSize } = run.spec;
    const shapes = { imageSize: inputSize, classes: nbClasses, batch: batchSize };
    const begin = () => planProgram(modelOf(run.spec), shapes, { ...optionsOf(run.spec), executor: executorOf(engine), like: run.like });
    // What the machine chooses of itself is mostly what the checkpoint has.
    const free = run.like === undefined ? undefined : this.#known(keyOf({ ...run, like: undefined }, engine));
    const plan = free === undefined ? begin() : free.then((one) => (fingerprintLine(one.fingerprint) === run.like ? one : begin()));
    const kept = { plan, sinceMs: this.now() };
    this.#plans.set(key, kept);
    // What was missing may be there at the next look.
    plan.catch(() => {
      if (this.#plans.peek(key) === kept) this.#plans.delete(key);
    });
    return plan;
  }

  #known(key: string): Promise<PlannedProgram> | undefined {
    const known = this.#plans.get(key);
    return known !== undefined && this.now() - known.sinceMs < plannedForMs ? known.plan : undefined;
  }
}

/** On the other engines there is nothing to choose. */
const keyOf = ({ uid, like }: PlannedRun, engine: EngineName): string => `${uid} ${engine} ${engine === 'webgpu' ? (like ?? '') : ''}`;

function optionsOf(spec: ResolvedSpec): Omit<CompileOptions, 'executor'> {
  const { precision, checkpointBlocks, gradientLeaves } = spec;
  const held = { batches: preparedBatches(spec), leaves: gradientLeaves };
  return { precision: precisions.wordOf(precision), checkpointBlocks, held };
}
