/** Carries out the faults of a plan on a running system, and heals what they left. */
import { setTimeout as delay } from 'node:timers/promises';
import { type Damage, NO_ROOM } from './damage.js';
import { damageUnevaluated } from './damage-unevaluated.js';
import type { Fault, FaultKind } from './fault-plan.js';
import type { FleetProcess } from './fleet.js';
import type { LaneKind, Lanes } from './lanes.js';
import { EVALUATOR_PROXY, type System, TTL_MS } from './system.js';
import type { Toxic } from './toxiproxy.js';
import { pick, Victims } from './victims.js';

export interface Recovery {
  readonly after: FaultKind;
  readonly ms: number;
}

export interface StormReport {
  /** Number of faults of each kind. */
  readonly faults: Record<string, number>;
  /** Times from a kill, a freeze or damage to the first new step of the run that was hit. */
  readonly recoveries: Recovery[];
  /** Faults that could not be carried out. */
  readonly wrong: string[];
}

const RESTART_MS = 300;
const RECOVERY_LIMIT_MS = 60_000;
/** How long a fault waits for the kind of run that it is meant for, and one that is the only proof of something. */
const FIND_MS = 15_000;
const LONG_FIND_MS = 60_000;
const SILENT_TIMES = 4;

/** Kinds of runs with few checkpoints. */
const SPARSE: ReadonlySet<string> = new Set<LaneKind>(['again', 'following']);

export class Storm {
  readonly report: StormReport = { faults: {}, recoveries: [], wrong: [] };
  readonly #lasting = new Set<Promise<void>>();
  readonly #victims: Victims;

  constructor(
    private readonly system: System,
    private readonly lanes: Lanes,
    private readonly damage: Damage,
    private readonly say: (text: string) => void,
    private readonly signal: AbortSignal,
  ) {
    this.#victims = new Victims(system, lanes, signal);
  }

  async rage(plan: readonly Fault[]): Promise<void> {
    const began = performance.now();
    for (const fault of plan) {
      await delay(Math.max(0, began + fault.atMs - performance.now()), undefined, { signal: this.signal });
      this.report.faults[fault.kind] = (this.report.faults[fault.kind] ?? 0) + 1;
      // Faults last while others begin.
      const lasting = this.#strike(fault)
        .catch((error) => void this.report.wrong.push(`${fault.kind} could not be carried out: ${error}`))
        .finally(() => this.#lasting.delete(lasting));
      this.#lasting.add(lasting);
    }
    // What lasts may begin something that lasts.
    while (this.#lasting.size > 0) await Promise.all(this.#lasting);
    await this.system.toxiproxy.heal();
  }

  async #strike(fault: Fault): Promise<void> {
    const { system, lanes, damage, say, signal } = this;
    const { kind, target, amount, durationMs } = fault;
    const lasting = `${durationMs} ms`;
    switch (kind) {
      case 'kill-worker':
        return await this.#killWorker(kind, this.#victims.busyWorker(target));
      case 'kill-data':
        return await this.#kill(pick(system.of('data'), target));
      case 'kill-api':
        return await this.#kill(pick(system.of('trainer', 'api'), target));
      case 'kill-evaluator':
        await this.lanes.untilTrains('evaluated', FIND_MS);
        return await this.#kill(pick(system.of('evaluator'), target));
      case 'kill-scheduler':
        return await this.#kill(pick(system.of('scheduler'), target));
      case 'freeze-worker': {
        const worker = this.#victims.busyWorker(target);
        if (worker !== undefined) this.#awaitRecovery(kind, worker);
        return await this.#freeze(worker, amount);
      }
      case 'freeze-evaluator':
        await this.lanes.untilTrains('evaluated', FIND_MS);
        return await this.#freeze(pick(system.of('evaluator'), target), amount);
      case 'freeze-data':
        return await this.#freeze(pick(system.of('data'), target), amount);
      case 'cut-store':
        return await this.#cut(this.#victims.storeProxy(target), durationMs);
      case 'cut-data':
        return await this.#cut(pick(system.dataProxies, target)!, durationMs);
      case 'cut-evaluator':
        await this.lanes.untilTrains('evaluated', FIND_MS);
        return await this.#cut(EVALUATOR_PROXY, durationMs);
      case 'slow-store':
        return await this.#toxic(this.#victims.storeProxy(target), durationMs, 'latency', {
          latency: 50 + Math.round(400 * amount),
          jitter: 50,
        });
      case 'reset-store':
        return await this.#toxic(this.#victims.storeProxy(target), durationMs, 'reset_peer', { timeout: Math.round(100 * amount) });
      case 'truncate-bodies':
        return await this.#toxic(this.#victims.storeProxy(target), durationMs, 'limit_data', { bytes: 200 + Math.round(20_000 * amount) });
      case 'silence': {
        // Requests arrive, answers are swallowed, and no connection is closed. Any way may fall silent, and for longer than other faults last.
        const ways = [...system.dataProxies, EVALUATOR_PROXY, ...system.processes.map(({ name }) => `s3-${name}`)];
        return await this.#toxic(pick(ways, target)!, SILENT_TIMES * durationMs, 'timeout', { timeout: 0 });
      }
      case 'refuse-503':
        this.say(`the store answers 503 for ${lasting}`);
        system.gateway.refuse('busy');
        await delay(durationMs);
        return system.gateway.refuse(undefined);
      case 'fill-disk':
        return await this.#fillDisk(durationMs);
      case 'recreate-run':
        this.say('the run of the second lane is cancelled, deleted and created again');
        return this.lanes.askRecreate();
      case 'change-schedule':
        await this.lanes.untilTrains('following', FIND_MS);
        this.say('the schedule that runs follow gets a new revision');
        return await this.lanes.changeSchedule(amount);
      case 'damage-checkpoint':
        return await this.#damageCheckpoint(target, amount);
      case 'damage-log':
        return await this.#damageLog();
      case 'kill-unsaved':
        return await this.#killUnsaved();
      case 'damage-unevaluated':
        return await damageUnevaluated({ system, lanes, damage, say, signal, victims: this.#victims }, amount);
    }
  }

  /** Beyond the TTL. */
  async #freeze(victim: FleetProcess | undefined, amount: number): Promise<void> {
    if (victim === undefined) return;
    const ms = Math.round(TTL_MS * (1.5 + amount));
    this.say(`${victim.name} is frozen for ${ms} ms`);
    victim.freeze();
    await delay(ms);
    victim.thaw();
  }

  async #cut(proxy: string, durationMs: number): Promise<void> {
    this.say(`${proxy} is cut for ${durationMs} ms`);
    await this.system.toxiproxy.enable(proxy, false);
    await delay(durationMs);
    await this.system.toxiproxy.enable(proxy, true);
  }

  async #kill(victim: FleetProcess | undefined): Promise<void> {
    if (victim === undefined) return;
    this.say(`${victim.name} is killed`);
    await victim.kill();
    await delay(RESTART_MS);
    await victim.start();
  }

  async #killWorker(kind: FaultKind, victim: FleetProcess | undefined): Promise<void> {
    if (victim === undefined) return;
    this.#awaitRecovery(kind, victim);
    await this.#kill(victim);
  }

  /** The run that this worker trains, if any, and how long it takes until somebody trains on. */
  #awaitRecovery(after: FaultKind, worker: FleetProcess): void {
    const run = this.#victims.runOf(worker);
    if (run === undefined) return;
    const waiting = run.recovery(RECOVERY_LIMIT_MS).then((recovered) => {
      if (recovered !== undefined) this.report.recoveries.push({ after, ms: recovered.seen });
      this.#lasting.delete(waiting);
    });
    this.#lasting.add(waiting);
  }

  async #toxic(proxy: string, durationMs: number, type: Toxic['type'], attributes: Record<string, number>): Promise<void> {
    this.say(`${proxy}: ${type} ${JSON.stringify(attributes)} for ${durationMs} ms`);
    // Two faults of one kind may overlap; the later one then changes nothing.
    await this.system.toxiproxy.add(proxy, { type, stream: 'downstream', attributes }).catch(() => {});
    await delay(durationMs);
    await this.system.toxiproxy.remove(proxy, type).catch(() => {});
  }

  async #fillDisk(durationMs: number): Promise<void> {
    const { disk, gateway } = this.system;
    this.say(`the store's disk is full for ${durationMs} ms`);
    if (disk) await disk.fill();
    else gateway.refuse('full');
    await delay(durationMs);
    if (disk) disk.free();
    else gateway.refuse(undefined);
  }

  /** Kills a worker whose run has steps in its log that no checkpoint has, so that its successor must repeat them. */
  async #killUnsaved(): Promise<void> {
    const found = await this.#victims.find(LONG_FIND_MS, () => {
      const run = this.lanes.runs.find(({ kind, training, unsaved }) => SPARSE.has(kind) && training && unsaved > 0);
      const worker = run && this.#victims.workerOf(run);
      return worker?.works ? worker : undefined;
    });
    if (found === undefined) return this.say('no run has steps that are not saved, so that no worker is killed');
    await this.#killWorker('kill-unsaved', found);
  }

  /**
   * Changes a byte in the newest checkpoint of a run that trains, and kills its worker: whoever takes over must use an older checkpoint. So there must be
   * one that is whole.
   */
  async #damageCheckpoint(target: number, amount: number): Promise<void> {
    const found = await this.#victims.find(FIND_MS, async () => {
      const run = pick(
        this.lanes.runs.filter(({ training, checkpoints }) => training && checkpoints.length > 1),
        target,
      );
      const part = run && (await this.damage.newestOfSeveral(this.system.store, run));
      return part && { run, part };
    });
    if (found === undefined) return this.say('no run has two checkpoints, so that none is damaged');
    const done = await this.damage.alter(this.system.store, found.part, amount);
    this.say(done ?? NO_ROOM);
    if (done === undefined) return;
    await this.#killWorker('damage-checkpoint', this.#victims.workerOf(found.run));
  }

  async #damageLog(): Promise<void> {
    if (await this.lanes.sacrifice(LONG_FIND_MS)) return this.say('a run that had ended lost a record, and was deleted');
    this.say('no run has ended, so that none loses a record');
  }
}
