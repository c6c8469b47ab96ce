/** The nodes of a simulated cluster: they come when workers have no place, and go when they are empty for a while or the provider takes them away. */
import type { EventQueue } from './event-queue.js';
import { drawer } from './trace.js';
import type { NodeKind, World } from './world.js';

export interface Node {
  readonly kind: NodeKind;
  readonly workers: Set<object>;
  readonly beganAt: number;
  isReady: boolean;
  isGone: boolean;
  hasImage: boolean;
  emptySince: number;
}

export class Nodes {
  readonly all = new Set<Node>();
  readonly #draws;
  cost = 0;
  /** Seconds of slots that were paid for. */
  slotSeconds = 0;
  losses = 0;

  constructor(
    private readonly world: World,
    private readonly events: EventQueue,
    private readonly hooks: { ready(): void; lost(node: Node): void },
  ) {
    this.#draws = drawer(world.seed, 'nodes');
  }

  /** A place on the fullest node, so that others become empty; undefined if there is none yet. */
  place(worker: object): Node | undefined {
    let best: Node | undefined;
    for (const node of this.all)
      if (node.isReady && node.workers.size < node.kind.slots && (best === undefined || node.workers.size > best.workers.size)) best = node;
    best?.workers.add(worker);
    return best;
  }

  leave(node: Node, worker: object): void {
    if (node.workers.delete(worker) && node.workers.size === 0) this.#watchEmpty(node);
  }

  /** Asks for as many nodes as workers without a place need beyond those that are coming. */
  request(withoutPlace: number): void {
    let coming = 0;
    for (const node of this.all) if (!node.isReady) coming += node.kind.slots;
    for (let missing = withoutPlace - coming; missing > 0; ) {
      const kind = this.world.kinds.find(({ name, maxNodes }) => [...this.all].filter((node) => node.kind.name === name).length < maxNodes);
      if (kind === undefined) return;
      this.#begin(kind);
      missing -= kind.slots;
    }
  }

  /** Ends what is left, at the end of the simulation. */
  close(): void {
    for (const node of this.all) this.#end(node);
  }

  #begin(kind: NodeKind): void {
    const { now } = this.events;
    const node: Node = { kind, workers: new Set(), beganAt: now, isReady: false, isGone: false, hasImage: false, emptySince: now };
    this.all.add(node);
    this.events.add(now + kind.startSeconds * (0.8 + 0.6 * this.#draws.uniform()), () => {
      if (node.isGone) return;
      node.isReady = true;
      this.#watchEmpty(node);
      this.hooks.ready();
    });
    if (kind.meanLifeSeconds === Number.POSITIVE_INFINITY) return;
    this.events.add(now + this.#draws.exponential(kind.meanLifeSeconds), () => {
      if (node.isGone) return;
      this.losses++;
      this.#end(node);
      this.hooks.lost(node);
    });
  }

  #watchEmpty(node: Node): void {
    const since = this.events.now;
    node.emptySince = since;
    this.events.add(since + this.world.emptyNodeSeconds, () => {
      if (node.workers.size === 0 && node.emptySince === since) this.#end(node);
    });
  }

  #end(node: Node): void {
    if (node.isGone) return;
    node.isGone = true;
    node.isReady = false;
    this.all.delete(node);
    const seconds = this.events.now - node.beganAt;
    this.cost += (seconds / 3600) * node.kind.pricePerHour;
    this.slotSeconds += seconds * node.kind.slots;
  }
}
