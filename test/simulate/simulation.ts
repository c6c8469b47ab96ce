/**
 * A day of runs over a simulated cluster, in virtual time. Runs, claims, checkpoints and replay follow the trainer; who comes next is decided by the
 * shipped fair shares. A fleet decides how many workers there are.
 */
import { FairShare } from '../../libs/work/fair-share.js';
import { EventQueue } from './event-queue.js';
import { type Node, Nodes } from './nodes.js';
import { drawer, type TracedRun } from './trace.js';
import type { World } from './world.js';

export interface SimulatedRun extends TracedRun {
  state: 'coming' | 'waiting' | 'owned' | 'over';
  /** Seconds of work that are done and cannot be lost. */
  saved: number;
  attempts: number;
  firstClaimAt: number;
  endedAt: number;
}

export interface Worker {
  readonly id: number;
  state: 'pending' | 'starting' | 'idle' | 'busy' | 'releasing' | 'over';
  node: Node | undefined;
  run: SimulatedRun | undefined;
  /** When the state began; of a busy worker: when its steps begin. */
  since: number;
}

export interface Fleet {
  readonly name: string;
  /** Seconds without work after which a worker ends by itself; undefined: never. */
  readonly idleSeconds: number | undefined;
  /** Called once, to begin its own rounds. */
  begin(cluster: Simulation): void;
}

export interface Sample {
  readonly at: number;
  readonly waiting: number;
  readonly owned: number;
  readonly workers: number;
  readonly nodes: number;
}

const sampleSeconds = 300;
/** How often the cluster looks for workers without a place. */
const autoscalerSeconds = 10;
/** Longest simulation. */
const mostSeconds = 30 * 86_400;

export class Simulation {
  readonly events = new EventQueue();
  readonly nodes: Nodes;
  readonly runs: SimulatedRun[];
  readonly workers = new Set<Worker>();
  /** Runs that wait and that are owned, by project: what the scaler of the trainer counts. */
  readonly counts = new Map<string, { readonly project: string; waiting: number; owned: number }>();
  readonly samples: Sample[] = [];
  /** Seconds of work: all that was computed, and what of it had to be computed again. */
  readonly work = { done: 0, lost: 0 };
  readonly times = { busy: 0, overhead: 0 };
  readonly stops = { evictions: 0, lost: 0, byScaling: 0, busyByScaling: 0 };
  readonly #idle = new Set<Worker>();
  readonly #lines = new Map<string, SimulatedRun[]>();
  readonly #share = new FairShare(() => 1);
  readonly #draws;
  #left: number;
  #ids = 0;

  constructor(
    trace: readonly TracedRun[],
    readonly world: World,
    readonly fleet: Fleet,
  ) {
    this.#draws = drawer(world.seed, 'workers');
    this.runs = trace.map((run) => ({ ...run, state: 'coming', saved: 0, attempts: 0, firstClaimAt: Number.NaN, endedAt: Number.NaN }));
    this.#left = this.runs.length;
    this.nodes = new Nodes(world, this.events, { ready: () => this.#placeAll(), lost: (node) => this.#lose(node) });
  }

  /** To the end of the last run. */
  run(): this {
    for (const run of this.runs) this.events.add(run.at, () => this.#wait(run));
    this.every(autoscalerSeconds, () => this.#requestNodes());
    this.every(sampleSeconds, () => this.#sample());
    this.fleet.begin(this);
    this.events.run(() => this.#left === 0 || this.events.now > mostSeconds);
    this.#sample();
    this.nodes.close();
    return this;
  }

  every(seconds: number, act: () => void): void {
    const round = (): void => {
      act();
      this.events.add(this.events.now + seconds, round);
    };
    this.events.add(this.events.now, round);
  }

  startWorkers(count: number): void {
    for (let k = 0; k < count; k++) {
      const worker: Worker = { id: this.#ids++, state: 'pending', node: undefined, run: undefined, since: this.events.now };
      this.workers.add(worker);
      this.#place(worker);
    }
  }

  /** As a scaler that takes pods away: a worker that has a run writes a checkpoint and gives it back. */
  stopByScaling(worker: Worker): void {
    this.stops.byScaling++;
    if (worker.state === 'busy') this.stops.busyByScaling++;
    this.#stop(worker);
  }

  #requestNodes(): void {
    let pending = 0;
    for (const worker of this.workers) if (worker.state === 'pending') pending++;
    if (pending > 0) this.nodes.request(pending);
  }

  #placeAll(): void {
    for (const worker of this.workers) if (worker.state === 'pending') this.#place(worker);
  }

  #place(worker: Worker): void {
    const { world, events } = this;
    const node = this.nodes.place(worker);
    if (node === undefined) return;
    worker.node = node;
    worker.state = 'starting';
    const seconds = world.workerStartSeconds + (node.hasImage ? 0 : world.pullSeconds);
    node.hasImage = true;
    events.add(events.now + seconds, () => {
      if (worker.state === 'starting') this.#becomeIdle(worker);
    });
    events.add(events.now + this.#draws.exponential(world.meanEvictionSeconds), () => {
      if (worker.state === 'over' || worker.state === 'releasing') return;
      this.stops.evictions++;
      this.#stop(worker);
    });
  }

  #becomeIdle(worker: Worker): void {
    const { events, fleet } = this;
    worker.state = 'idle';
    worker.run = undefined;
    const since = events.now;
    worker.since = since;
    this.#idle.add(worker);
    if (fleet.idleSeconds !== undefined)
      events.add(since + fleet.idleSeconds, () => {
        if (worker.state === 'idle' && worker.since === since) this.#end(worker);
      });
    this.#claims();
  }

  #wait(run: SimulatedRun): void {
    if (run.state === 'owned') this.#count(run).owned--;
    run.state = 'waiting';
    this.#count(run).waiting++;
    const line = this.#lines.get(run.project) ?? [];
    this.#lines.set(run.project, line);
    // What was given back is older than what came since.
    if (run.attempts > 0) line.unshift(run);
    else line.push(run);
    this.#claims();
  }

  /** Gives the runs that wait to workers without one, each of which looks at the queue at its own time. */
  #claims(): void {
    while (this.#idle.size > 0) {
      const lines = [...this.#lines].filter(([, line]) => line.length > 0).map(([project, line]) => ({ project, line }));
      if (lines.length === 0) return;
      this.#share.present(new Set(lines.map(({ project }) => project)));
      const { project, line } = this.#share.next(lines)!;
      this.#share.charge(project);
      for (const worker of this.#idle) {
        this.#claim(worker, line.shift()!);
        break;
      }
    }
  }

  #claim(worker: Worker, run: SimulatedRun): void {
    const { world, events } = this;
    this.#idle.delete(worker);
    this.#count(run).waiting--;
    this.#count(run).owned++;
    run.state = 'owned';
    run.attempts++;
    worker.state = 'busy';
    worker.run = run;
    const claimedAt = events.now + world.pollSeconds * this.#draws.uniform();
    if (run.attempts === 1) run.firstClaimAt = claimedAt;
    const beginsAt = claimedAt + world.attemptStartSeconds;
    worker.since = beginsAt;
    const attempt = run.attempts;
    events.add(beginsAt + (run.seconds - run.saved) / worker.node!.kind.speed, () => {
      if (worker.state !== 'busy' || worker.run !== run || run.attempts !== attempt) return;
      this.#computed(worker, run.seconds - run.saved);
      run.saved = run.seconds;
      this.#count(run).owned--;
      run.state = 'over';
      run.endedAt = events.now;
      this.#left--;
      this.#becomeIdle(worker);
    });
  }

  /** SIGTERM: a checkpoint, and the run goes back to the queue. */
  #stop(worker: Worker): void {
    const { run } = worker;
    if (worker.state !== 'busy' || run === undefined) {
      this.#end(worker);
      return;
    }
    const done = Math.min(run.seconds - run.saved, this.#progress(worker));
    this.#computed(worker, done);
    run.saved += done;
    worker.state = 'releasing';
    this.events.add(this.events.now + this.world.releaseSeconds, () => {
      if (worker.state !== 'releasing') return;
      this.#end(worker);
      this.#wait(run);
    });
  }

  /** The node is gone without warning: what was done since the last checkpoint is lost, and others find out when the lease runs out. */
  #lose(node: Node): void {
    const { world, events } = this;
    for (const worker of node.workers as Set<Worker>) {
      const { run, state } = worker;
      if (run && (state === 'busy' || state === 'releasing')) {
        this.stops.lost++;
        const done = state === 'busy' ? Math.min(run.seconds - run.saved, this.#progress(worker)) : 0;
        const kept = Math.min(
          done,
          Math.floor(done / node.kind.speed / world.checkpointSeconds) * world.checkpointSeconds * node.kind.speed,
        );
        if (state === 'busy') this.#computed(worker, done);
        this.work.lost += done - kept;
        run.saved += kept;
        events.add(events.now + world.leaseSeconds + world.pollSeconds, () => this.#wait(run));
      }
      this.#end(worker);
    }
  }

  #progress(worker: Worker): number {
    return Math.max(0, this.events.now - worker.since) * worker.node!.kind.speed;
  }

  #computed(worker: Worker, done: number): void {
    this.work.done += done;
    this.times.busy += done / worker.node!.kind.speed;
    this.times.overhead += this.world.attemptStartSeconds;
  }

  #end(worker: Worker): void {
    worker.state = 'over';
    worker.run = undefined;
    this.#idle.delete(worker);
    this.workers.delete(worker);
    if (worker.node) this.nodes.leave(worker.node, worker);
    this.#placeAll();
  }

  #count({ project }: SimulatedRun) {
    const known = this.counts.get(project) ?? { project, waiting: 0, owned: 0 };
    this.counts.set(project, known);
    return known;
  }

  #sample(): void {
    let [waiting, owned] = [0, 0];
    for (const of of this.counts.values()) [waiting, owned] = [waiting + of.waiting, owned + of.owned];
    this.samples.push({ at: this.events.now, waiting, owned, workers: this.workers.size, nodes: this.nodes.all.size });
  }
}
