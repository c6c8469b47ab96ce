/** Virtual time: events in order of their time, and those of one time in the order in which they were added, so that a simulation is a function of its input. */
interface Event {
  readonly at: number;
  readonly order: number;
  readonly act: () => void;
}

export class EventQueue {
  readonly #heap: Event[] = [];
  #order = 0;
  /** Seconds since the beginning. */
  now = 0;

  /** @param at seconds; not before now */
  add(at: number, act: () => void): void {
    const event = { at: Math.max(at, this.now), order: this.#order++, act };
    const heap = this.#heap;
    let hole = heap.length;
    heap.push(event);
    for (let up = (hole - 1) >> 1; hole > 0 && isBefore(event, heap[up]!); up = (hole - 1) >> 1) {
      heap[hole] = heap[up]!;
      hole = up;
    }
    heap[hole] = event;
  }

  /** Runs events until none is left, or `isOver` says so. */
  run(isOver: () => boolean): void {
    for (let next = this.#take(); next !== undefined; next = this.#take()) {
      this.now = next.at;
      next.act();
      if (isOver()) return;
    }
  }

  #take(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let hole = 0;
    for (let child = 1; child < heap.length; child = 2 * hole + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, last)) break;
      heap[hole] = heap[child]!;
      hole = child;
    }
    heap[hole] = last;
    return first;
  }
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
