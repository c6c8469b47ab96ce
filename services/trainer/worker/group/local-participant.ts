/** The member that this process is: its program, the data of its leaves, and its connections to the other members. */
import {
  connectMesh,
  copyState,
  type ExchangePlan,
  exchange,
  keyOf,
  type Mesh,
  MeshAborted,
  type RendezvousStore,
} from '#collectives/index.js';
import type { NamedTensor, Program, ProgramState, Subtree } from '#engine/index.js';
import { allocateMemory } from '#native/memory.js';
import { countTopK } from '#nn/metrics.js';
import { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import type {
  ComputeOrder,
  DigestAnswer,
  ExchangeAnswer,
  ExchangeOrder,
  FormOrder,
  GiveUpNote,
  LeafResult,
  StandAnswer,
} from '#protocol/dropstream/v1/group.js';
import type { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import type { PreparedBatch } from '#training/prepared-batches.js';
import { mixes, type ResolvedSpec } from '../../run/run-spec.js';
import { StepScalars } from '../step-scalars.js';
import { releaseBatches } from '../take-batches.js';
import { labelsOf } from '../whole-steps.js';
import type { LeafBatches } from './leaf-batches.js';
import { type Participant, StaleOrder } from './participant.js';
import type { Standby } from './standby.js';
import { weightDigests } from './weight-digests.js';

export interface LocalParticipantOptions {
  readonly worker: string;
  readonly program: Program;
  readonly spec: ResolvedSpec;
  readonly dropKind: DropKind;
  readonly batches: Pick<LeafBatches, 'use' | 'take'>;
  /** Address of this machine that the other members reach. */
  readonly host: string;
  /** Where members of a generation leave their addresses for each other. */
  readonly keysOf: (generation: number) => RendezvousStore;
  /** How the members of a generation connect; default: over Gloo. */
  readonly connect?: typeof connectMesh;
  /** How long connecting, and a transfer without progress, may take. */
  readonly silenceMs: number;
  /** Optimizer steps that the program has done. */
  readonly step: number;
  /** Keeps what the member needs to lead the run when its leader is lost. */
  readonly standby?: Standby;
  /** Ends waiting for data. */
  readonly signal: AbortSignal;
}

interface AskedLeaf {
  readonly step: bigint;
  readonly leaf: number;
  readonly givenUp: AbortController;
}

/** Another member computes the leaf. */
class GivenUp extends Error {
  override readonly name = 'GivenUp';
}

export class LocalParticipant implements Participant {
  readonly #options: LocalParticipantOptions;
  readonly #scalars: StepScalars;
  /** Orders run one after another. */
  #last: Promise<unknown> = Promise.resolve();
  #mesh: Mesh | undefined;
  /** Ends what waits for other members; a new one for every generation. */
  #others = new AbortController();
  #generation = 0;
  #rank = 0;
  #size = 1;
  #step: number;
  /** Of the last step done. */
  #gradNorm = 0;
  /** The exchange that was ordered last. */
  #ordered: ExchangeOrder | undefined;
  /** Leaves that this member was asked for, and whose batches it does not have yet. */
  readonly #notBegun = new Set<AskedLeaf>();
  /** Leaves of the step under way whose gradients the program holds. */
  readonly #held = new Set<number>();
  /** Memory for sums of gradients, which is used again. */
  readonly #gradients: Float32Array[] = [];

  /** The owner closes it. */
  constructor(options: LocalParticipantOptions) {
    this.#options = options;
    this.#scalars = new StepScalars(options);
    this.#step = options.step;
  }

  get worker(): string {
    return this.#options.worker;
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.#step;
  }

  /** Number of members of the last generation. */
  get size(): number {
    return this.#size;
  }

  form(order: FormOrder): Promise<void> {
    // Whatever still waits for members of an earlier generation waits in vain.
    this.#abort(`generation ${order.generation} begins`);
    return this.#alone(async () => {
      await this.#disconnect();
      this.#others = new AbortController();
      this.#generation = Number(order.generation);
      this.#rank = order.rank;
      this.#size = order.size;
      const copies = order.copyTo.length > 0 && (order.rank === order.copyFrom || order.copyTo.includes(order.rank));
      if (!copies && Number(order.step) !== this.#step) throw new StaleOrder(`step ${order.step}`, `step ${this.#step}`);
      if (order.size > 1) await this.#connect(order);
      if (copies) await this.#copy(order);
      await this.#options.batches.use(order.leaves, this.#step);
    });
  }

  compute({ step, leaves, values }: ComputeOrder): Promise<LeafResult[]> {
    const asked = leaves.map((leaf) => ({ step, leaf, givenUp: new AbortController() }));
    for (const one of asked) this.#notBegun.add(one);
    const computed = this.#alone(async () => {
      this.#check(step);
      const results: LeafResult[] = [];
      for (const one of asked) {
        const result = await this.#computeLeaf(one, values!);
        if (result === undefined) continue;
        results.push(result);
        this.#held.add(one.leaf);
      }
      return results;
    });
    return computed.finally(() => {
      for (const one of asked) this.#notBegun.delete(one);
    });
  }

  giveUp({ step, leaves }: GiveUpNote): void {
    for (const one of this.#notBegun) if (one.step === step && leaves.includes(one.leaf)) one.givenUp.abort(new GivenUp());
  }

  exchange(order: ExchangeOrder): Promise<ExchangeAnswer> {
    return this.#alone(async () => {
      const { program, spec } = this.#options;
      this.#check(order.step);
      if (Number(order.generation) !== this.#generation)
        throw new StaleOrder(`generation ${order.generation}`, `generation ${this.#generation}`);
      this.#ordered = order;
      const begun = performance.now();
      if (this.#mesh !== undefined) await this.#sum(this.#mesh, order);
      const exchangeSeconds = (performance.now() - begun) / 1000;
      this.#others.signal.throwIfAborted();
      // From here on, the sums of this step are gone, whatever happens.
      this.#held.clear();
      if (this.#mesh !== undefined) {
        program.cancel();
        await program.writeSubtree({ first: 0, leaves: spec.gradientLeaves }, spec.gradientLeaves, this.#gradient(0));
      }
      const { gradNorm, seconds } = await program.update(this.#scalars.optimizer(this.#step, order.values!));
      this.#step++;
      this.#gradNorm = gradNorm;
      this.#options.standby?.made(order, gradNorm);
      return { gradNorm, exchangeSeconds, optimizerSeconds: seconds.optimizer };
    });
  }

  stand(reason: string): Promise<StandAnswer> {
    this.#abort(reason);
    return this.#alone(async () => ({ step: BigInt(this.#step), leaves: [...this.#held], gradNorm: this.#gradNorm }));
  }

  digest(): Promise<DigestAnswer> {
    return this.#alone(async () => ({ step: BigInt(this.#step), sha256: await weightDigests(this.#options.program) }));
  }

  /** Ends the step under way, which rejects, unless the program has begun to change weights. */
  cancel(): void {
    this.#abort('the step was cancelled');
    this.#options.program.cancel();
    this.#held.clear();
  }

  /** Keeps the state: a later generation begins anew. */
  async close(): Promise<void> {
    this.#abort('the membership ends');
    await this.#last;
    await this.#disconnect();
    this.#gradients.length = 0;
  }

  /** @returns undefined if the leaf is given up before its batches are there */
  async #computeLeaf(asked: AskedLeaf, rates: { lr: number; weightDecay: number; dropRate: number }): Promise<LeafResult | undefined> {
    const { program, spec } = this.#options;
    const { leaf } = asked;
    const begun = performance.now();
    const micro = await this.#batchesOf(asked);
    if (micro === undefined) return undefined;
    try {
      const dataWaitSeconds = (performance.now() - begun) / 1000;
      const first = Math.floor((leaf * spec.updateFreq) / spec.gradientLeaves);
      const { losses, logits, seconds } = await program.accumulate({
        microBatches: micro.map(({ images, targets, samples }, k) => ({
          images,
          targets,
          samples,
          firstSample: (first + k) * spec.batchSize,
        })),
        random: this.#scalars.random(this.#step, rates),
        lossScale: 1 / (spec.batchSize * spec.updateFreq),
        leaf,
        leaves: spec.gradientLeaves,
      });
      return {
        leaf,
        losses: [...losses],
        correct: mixes(spec) ? undefined : countTopK(logits, labelsOf(micro, losses.length), program.classes, 1),
        batchSha256: micro.map(({ sha256 }) => Buffer.from(sha256)),
        replaced: micro.flatMap(({ replaced }) => replaced.map((sample) => Buffer.from(ReplacedSample.encode(sample).finish()))),
        dataWaitSeconds,
        forwardSeconds: seconds.forward,
        backwardSeconds: seconds.backward,
      };
    } finally {
      releaseBatches(micro);
    }
  }

  async #batchesOf(asked: AskedLeaf): Promise<PreparedBatch[] | undefined> {
    const { batches, signal } = this.#options;
    const { leaf, givenUp } = asked;
    if (givenUp.signal.aborted) return undefined;
    try {
      return await batches.take(this.#step, leaf, AbortSignal.any([signal, givenUp.signal]));
    } catch (error) {
      if (givenUp.signal.aborted && !signal.aborted) return undefined;
      throw error;
    } finally {
      this.#notBegun.delete(asked);
    }
  }

  /** Leaves the sum of all leaves in the first gradient. */
  async #sum(mesh: Mesh, { held }: ExchangeOrder): Promise<void> {
    const { program, spec } = this.#options;
    const plan: ExchangePlan = {
      leaves: spec.gradientLeaves,
      held: held.map(({ subtrees }) => subtrees),
      elements: program.parameterFloats,
      // JavaScript keeps what the other executors flush.
      subnormals: program.fingerprint.executor === 'tfjs' ? 'keep' : 'flush',
    };
    const mine = new Map<string, Float32Array>();
    for (const subtree of held[this.#rank]?.subtrees ?? ([] as readonly Subtree[])) {
      const into = this.#gradient(mine.size + 1);
      await program.readSubtree(subtree, into);
      mine.set(keyOf(subtree), into);
    }
    await exchange(mesh, plan, mine, this.#gradient(0));
  }

  async #connect({ rank, size, generation }: FormOrder): Promise<void> {
    const { host, keysOf, silenceMs, connect = connectMesh } = this.#options;
    this.#mesh = await connect({
      rank,
      size,
      host,
      store: keysOf(Number(generation)),
      connectTimeoutMs: silenceMs,
      transferTimeoutMs: silenceMs,
      signal: this.#others.signal,
    });
  }

  async #copy({ rank, copyFrom, copyTo, step, progress, gradNorm }: FormOrder): Promise<void> {
    const { program, spec, standby } = this.#options;
    const ema = spec.modelEma;
    const memory = allocateMemory(program.stateBytes({ ema }));
    const gives = rank === copyFrom;
    if (gives) await program.exportState({ ema, into: memory });
    await copyState(this.#mesh!, copyFrom, copyTo, [new Float32Array(memory)]);
    if (gives) return;
    this.#forget();
    await program.importState(stateIn(memory, program, ema));
    // Who has missed only one step knows its record, and those of the steps before that the log may still lack.
    if (progress.length > 0) standby?.begin(progress);
    else if (this.#ordered !== undefined) standby?.made(this.#ordered, gradNorm);
    this.#step = Number(step);
    this.#gradNorm = gradNorm;
  }

  /** Drops the gradients of a step that others have made already. */
  #forget(): void {
    if (this.#held.size > 0) this.#options.program.cancel();
    this.#held.clear();
  }

  #check(step: bigint): void {
    if (Number(step) !== this.#step) throw new StaleOrder(`step ${step}`, `step ${this.#step}`);
  }

  #gradient(index: number): Float32Array {
    const known = this.#gradients[index];
    if (known !== undefined) return known;
    const made = new Float32Array(allocateMemory(this.#options.program.parameterFloats * Float32Array.BYTES_PER_ELEMENT));
    this.#gradients[index] = made;
    return made;
  }

  #abort(reason: string): void {
    this.#others.abort(new MeshAborted(reason));
    this.#mesh?.abort(reason);
  }

  async #disconnect(): Promise<void> {
    const mesh = this.#mesh;
    this.#mesh = undefined;
    await mesh?.close();
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }
}

/** The views of a state that exportState has written. */
function stateIn(memory: ArrayBuffer, { parameters }: Program, ema: boolean): ProgramState {
  let offset = 0;
  const part = (): NamedTensor[] =>
    parameters.map(({ name, shape }) => {
      const data = new Float32Array(
        memory,
        offset,
        shape.reduce((product, size) => product * size, 1),
      );
      offset += data.byteLength;
      return { name, shape, data };
    });
  return { weights: part(), first_moment: part(), second_moment: part(), ...(ema && { ema: part() }) };
}
