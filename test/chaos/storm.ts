/** Carries out the faults of a plan on a running system, and heals what they left. */
import { setTimeout as delay } from 'node:timers/promises';
import { decodeManifest } from '#storage/checkpoint-manifest.js';
import { listAll, ObjectNotFound } from '#storage/object-store.js';
import type { Fault, FaultKind } from './fault-plan.js';
import type { FleetProcess } from './fleet.js';
import type { Lanes } from './lanes.js';
import { EVALUATOR_PROXY, type System, TTL_MS } from './system.js';
import type { WatchedRun } from './watched-run.js';

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
/** How long a fault waits for the kind of run that it is meant for. */
const FIND_MS = 15_000;

export class Storm {
  readonly report: StormReport = { faults: {}, recoveries: [], wrong: [] };
  readonly #lasting = new Set<Promise<void>>();

  constructor(
    private readonly system: System,
    private readonly lanes: Lanes,
    /** Takes the keys of checkpoint parts that are damaged on purpose. */
    private readonly damaged: Set<string>,
    private readonly say: (text: string) => void,
    private readonly signal: AbortSignal,
  ) {}

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
    await Promise.all(this.#lasting);
    await this.system.toxiproxy.heal();
  }

  async #strike(fault: Fault): Promise<void> {
    const { system } = this;
    const { kind, target, amount, durationMs } = fault;
    const lasting = `${durationMs} ms`;
    switch (kind) {
      case 'kill-worker':
        return await this.#killWorker(kind, this.#busyWorker(target));
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
        const worker = this.#busyWorker(target);
        if (worker !== undefined) this.#awaitRecovery(kind, worker);
        return await this.#freeze(worker, amount);
      }
      case 'freeze-evaluator':
        await this.lanes.untilTrains('evaluated', FIND_MS);
        return await this.#freeze(pick(system.of('evaluator'), target), amount);
      case 'cut-store':
        return await this.#cut(`s3-${pick(system.processes, target)!.name}`, durationMs);
      case 'cut-data':
        return await this.#cut(pick(system.dataProxies, target)!, durationMs);
      case 'cut-evaluator':
        await this.lanes.untilTrains('evaluated', FIND_MS);
        return await this.#cut(EVALUATOR_PROXY, durationMs);
      case 'slow-store':
        return await this.#toxic(target, durationMs, 'latency', { latency: 50 + Math.round(400 * amount), jitter: 50 });
      case 'reset-store':
        return await this.#toxic(target, durationMs, 'reset_peer', { timeout: Math.round(100 * amount) });
      case 'truncate-bodies':
        return await this.#toxic(target, durationMs, 'limit_data', { bytes: 200 + Math.round(20_000 * amount) });
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
    const run = this.#runOf(worker);
    if (run === undefined) return;
    const waiting = run.recovery(RECOVERY_LIMIT_MS).then((ms) => {
      if (ms !== undefined) this.report.recoveries.push({ after, ms: Math.round(ms) });
      this.#lasting.delete(waiting);
    });
    this.#lasting.add(waiting);
  }

  #runOf(worker: FleetProcess): WatchedRun | undefined {
    return this.lanes.runs.find((run) => run.training && !run.ended && run.owner.split(':').includes(String(worker.pid)));
  }

  /** A worker that trains, if there is one; otherwise any that works. */
  #busyWorker(target: number): FleetProcess | undefined {
    const workers = this.system.of('trainer', 'worker').filter(({ works }) => works);
    const busy = workers.filter((worker) => this.#runOf(worker) !== undefined);
    return pick(busy.length > 0 ? busy : workers, target);
  }

  async #toxic(
    target: number,
    durationMs: number,
    type: 'latency' | 'reset_peer' | 'limit_data',
    attributes: Record<string, number>,
  ): Promise<void> {
    const proxy = `s3-${pick(this.system.processes, target)!.name}`;
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

  /**
   * Changes a byte in the newest checkpoint of a run that trains, and kills its worker: whoever takes over must use an older checkpoint. So there must be
   * one that is whole.
   */
  async #damageCheckpoint(target: number, amount: number): Promise<void> {
    for (const end = performance.now() + FIND_MS; performance.now() < end; await delay(100)) {
      const run = pick(
        this.lanes.runs.filter(({ training, checkpoints }) => training && checkpoints.length > 1),
        target,
      );
      const part = run && (await this.#newestOfSeveral(run));
      if (part === undefined) continue;
      const at = Math.min(part.bytes.length - 1, Math.floor(part.bytes.length * amount));
      part.bytes[at] = part.bytes[at]! ^ 0x40;
      this.damaged.add(part.key);
      this.say(`${part.key} gets a wrong byte at ${at}, and its worker is killed`);
      await this.system.store.put(part.key, part.bytes);
      const worker = this.system.of('trainer', 'worker').find(({ pid }) => run?.owner.split(':').includes(String(pid)));
      return await this.#killWorker('damage-checkpoint', worker);
    }
    this.say('no run has two checkpoints, so that none is damaged');
  }

  /** The weights of the newest of at least two whole checkpoints; undefined if there are fewer, or they are being deleted. */
  async #newestOfSeveral({ name, uid }: WatchedRun): Promise<{ key: string; bytes: Buffer } | undefined> {
    const { store } = this.system;
    const whole: string[] = [];
    try {
      for await (const { key } of listAll(store, `${name}/${uid}/`)) {
        if (!key.endsWith('/manifest.json')) continue;
        const { parts } = decodeManifest(key, (await store.get(key)).bytes).manifest;
        if (!parts.some((part) => this.damaged.has(part.key))) whole.push(parts.find(({ group }) => group === 'weights')!.key);
      }
      return whole.length < 2 ? undefined : { key: whole.at(-1)!, bytes: (await store.get(whole.at(-1)!)).bytes };
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined;
      throw error;
    }
  }

  /** A run that nobody trains loses a record in the middle: lists must show the others, and it can be deleted. */
  async #damageLog(): Promise<void> {
    this.say('a run that has ended loses a record');
    await this.lanes.sacrifice();
  }
}

const pick = <T>(from: readonly T[], share: number): T | undefined => from[Math.min(from.length - 1, Math.floor(share * from.length))];
