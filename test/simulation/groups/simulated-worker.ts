/**
 * A worker of a simulated run. What it does as a leader and as a member is the code of services/trainer/worker/group: Group, Roster, LeafRound, GroupDoors,
 * RemoteParticipant, Membership, LocalParticipant and Standby. Program, mesh, network and log are simulated.
 */
import { Registry } from 'prom-client';
import type { RendezvousStore } from '#collectives/index.js';
import { DropKind } from '#protocol/dropstream/v1/schedule_types.js';
import { StepMetrics } from '#protocol/dropstream/v1/trainer.js';
import { silentLogger } from '#telemetry/logger.js';
import type { ResolvedSpec } from '../../../services/trainer/run/run-spec.js';
import { emptySums } from '../../../services/trainer/worker/epoch-means.js';
import { GroupDoors } from '../../../services/trainer/worker/group/doors.js';
import { Group } from '../../../services/trainer/worker/group/group.js';
import { createGroupMetrics } from '../../../services/trainer/worker/group/group-metrics.js';
import { LocalParticipant } from '../../../services/trainer/worker/group/local-participant.js';
import { type GroupClient, Membership } from '../../../services/trainer/worker/group/membership.js';
import type { RemoteParticipant } from '../../../services/trainer/worker/group/remote-participant.js';
import { Rendezvous } from '../../../services/trainer/worker/group/rendezvous.js';
import { Roster } from '../../../services/trainer/worker/group/roster.js';
import { encodeProgress, Standby } from '../../../services/trainer/worker/group/standby.js';
import type { GroupWorld } from './group-world.js';
import { ClaimGone } from './simulated-log.js';
import { type SimulatedProgram, simulatedProgram } from './simulated-program.js';

const logger = silentLogger();
/** Longer than an execution: nothing is lost by the clock, only by choices. */
const silenceMs = 1_000_000;
const run = 'projects/p/runs/r';
const uid = 'u';
const fingerprint = 'native/fp32/simulated/simulated';
const metrics = createGroupMetrics(new Registry());

interface Memory {
  readonly made: SimulatedProgram;
  readonly standby: Standby;
}

export class SimulatedWorker {
  readonly doors = new GroupDoors(silenceMs);
  readonly #spec: ResolvedSpec;
  /** The claim of the leader whose orders it carries out; its own, if it leads. */
  #fence = 0;

  constructor(
    readonly letter: string,
    private readonly world: GroupWorld,
  ) {
    const { leaves } = world.options;
    this.#spec = {
      ...{ model: 'vit_nano_p7', updateFreq: leaves, gradientLeaves: leaves, batchSize: 1, seed: 1n, mixup: 1, modelEma: false },
      ...{ opt: 1, optBetas: [0.9, 0.99], optEps: 1e-8, momentum: 0, clipGrad: 0, layerDecay: 1 },
    } as unknown as ResolvedSpec;
  }

  /** Leads the run, or helps with it, until it has ended or this worker can do nothing more for it. @throws Violation */
  async work(): Promise<void> {
    for (;;) {
      const { log } = this.world;
      const fence = log.fence === 0 ? await log.claim(this.letter, 0) : undefined;
      if (fence !== undefined) await this.#lead(fence, undefined);
      if (!(await this.#help())) return;
    }
  }

  /** @returns false if there is nothing to help with any more */
  async #help(): Promise<boolean> {
    const { world, letter } = this;
    const made = simulatedProgram(world.options.leaves, letter, (violation) => world.fail(violation));
    const standby = new Standby(world.options.steps, world.options.leaves);
    const local = this.#participant(made, 0, standby);
    for (let seen = 0; ; ) {
      const leader = await world.leaderAfter(seen, letter);
      if (world.log.ended) return false;
      if (leader === undefined) {
        if (world.log.owner !== letter && world.isAlive(world.log.owner)) continue;
        // Nobody has the state of the lost leader, so the run begins again from what is stored: its beginning.
        const fence = await world.log.claim(letter, world.log.fence);
        if (fence !== undefined) await this.#lead(fence, undefined);
        return true;
      }
      seen = leader.fence;
      const end = await this.#member(leader, local, standby);
      if (end === 'dismissed') return !world.log.ended;
      // Only a leader that is gone is claimed from (leader-watch.ts).
      if (end === 'refused' || standby.progress === undefined || world.isAlive(leader.letter)) continue;
      await local.close();
      const fence = await world.log.claim(letter, leader.fence);
      if (fence === undefined) continue;
      await this.#lead(fence, { made, standby });
      return true;
    }
  }

  async #member(leader: { readonly letter: string; readonly fence: number }, local: LocalParticipant, standby: Standby): Promise<string> {
    const { world, letter } = this;
    this.#fence = leader.fence;
    const line = world.knock(letter, leader.letter, {
      ...{ run, uid, fence: leader.fence, worker: letter, fingerprint },
      step: standby.progress === undefined ? undefined : local.step,
    });
    const ending = new AbortController();
    const client = { answerOrder: async (request: Parameters<RemoteParticipant['answer']>[0]) => await line.answer(request) };
    const membership = new Membership({ client: client as unknown as GroupClient, run, logger, signal: ending.signal });
    try {
      return await membership.serve(line.messages(), local);
    } catch {
      return 'refused';
    } finally {
      ending.abort();
      local.cancel();
      await local.stand('the membership has ended');
      line.close();
    }
  }

  async #lead(fence: number, memory: Memory | undefined): Promise<void> {
    const { world, letter } = this;
    const { leaves, steps } = world.options;
    const { log } = world;
    const made = memory?.made ?? simulatedProgram(leaves, letter, (violation) => world.fail(violation));
    this.#fence = fence;
    let ended = 'its attempt has ended';
    let [shut, roster]: [() => void, Roster | undefined] = [() => {}, undefined];
    try {
      const from = memory?.standby.progress?.step ?? 0;
      await log.append(letter, fence, { kind: 'resumed', step: from });
      let recorded = from;
      const record = async (step: number, loss: number, gradNorm: number): Promise<void> => {
        await log.append(letter, fence, { kind: 'steps', step, loss, gradNorm });
        recorded = step + 1;
      };
      for (const { metrics: step } of memory?.standby.steps ?? []) await record(Number(step.step), step.loss, step.gradNorm);
      const rendezvous = new Rendezvous();
      const local = this.#participant(made, made.step(), undefined);
      const members = new Roster({ leader: local, least: 1, most: 9, onSize: () => {}, metrics, logger });
      roster = members;
      const group = new Group({
        ...{ leaves, roster: members, local, parameters: ['w'], fingerprint, metrics, logger },
        append: async ({ generation, members: named }) => {
          world.meet(
            `${fence} ${generation}`,
            named.map(({ worker }) => worker),
          );
          await log.append(letter, fence, { kind: 'group', generation: Number(generation) });
        },
        describe: (step, _, results) => ({
          metrics: StepMetrics.fromPartial({ step: BigInt(step), loss: results[0]!.losses[0]! }),
          replaced: [],
          recorded: BigInt(recorded),
        }),
        progress: async () => encodeProgress({ step: recorded, sums: emptySums(0), undecodable: [] }),
        onGeneration: (generation) => rendezvous.begin(generation),
        onFormed: () => {},
      });
      world.cleanups.push(() => members.close('the execution has ended'));
      shut = this.doors.open({ run, uid, fence, fingerprint, roster: members, rendezvous });
      world.opens(letter, fence);
      for (let step = made.step(); step < steps; step++) {
        await group.settle(step);
        const { leaves: results, gradNorm } = await group.step(step, { lr: 1, weightDecay: 0, dropRate: 0 });
        await record(step, results[0]!.losses[0]!, gradNorm);
        if (step === 0) await group.compare(step + 1);
      }
      await log.append(letter, fence, { kind: 'ended' });
    } catch (error) {
      if (!(error instanceof ClaimGone)) throw error;
      ended = error.message;
    } finally {
      shut();
      roster?.close(ended);
    }
  }

  #participant(made: SimulatedProgram, step: number, standby: Standby | undefined): LocalParticipant {
    const { world, letter } = this;
    const never = new AbortController().signal;
    return new LocalParticipant({
      worker: letter,
      program: made.program,
      spec: this.#spec,
      dropKind: DropKind.DROP_PATH,
      batches: {
        use: async () => {},
        take: async () => [
          {
            images: new Float32Array(),
            targets: new Float32Array(),
            labels: new Uint32Array(),
            samples: 1,
            sha256: Buffer.of(1),
            replaced: [],
            release: () => {},
          } as never,
        ],
      },
      host: letter,
      keysOf: (generation) => world.meeting(`${this.#fence} ${generation}`) as unknown as RendezvousStore,
      connect: world.meshes.connect,
      silenceMs,
      step,
      ...(standby && { standby }),
      signal: never,
    });
  }
}
