import { MOST_LEAVES, type Subtree, siblingOf } from './gradient-tree.js';

/**
 * The sums of a step's leaves, for executors without native code. As gradient-tree.ts defines, two parts are added as soon as both are there. Owns the
 * sums, which are tensors or buffers.
 */
export class GradientSums<Sum> {
  #leaves = 0;
  #held: { node: Subtree; sum: Sum }[] = [];

  /** `add` returns the sum of two and frees both, unless it returns one of them. */
  constructor(
    private readonly add: (left: Sum, right: Sum) => Sum,
    private readonly free: (sum: Sum) => void,
  ) {}

  /** Throws if the node cannot be added now. */
  check(leaves: number, node: Subtree): void {
    if (!Number.isInteger(leaves) || leaves < 1 || leaves > MOST_LEAVES) {
      throw new RangeError(`leaves is ${leaves}, must be from 1 to ${MOST_LEAVES}`);
    }
    if (this.#held.length > 0 && leaves !== this.#leaves) throw new RangeError(`leaves is ${leaves}, the step has ${this.#leaves}`);
    const isRoot = node.first === 0 && node.leaves === leaves;
    if (!isRoot && siblingOf(leaves, node) === undefined) {
      throw new RangeError(`the tree of ${leaves} leaves has no sum of ${nameOf(node)}`);
    }
    const taken = this.#held.find(({ node: { first, leaves: size } }) => node.first < first + size && first < node.first + node.leaves);
    if (taken !== undefined) throw new RangeError(`the step has ${nameOf(taken.node)} already`);
  }

  /** Adds a node that was checked; takes ownership of its sum. */
  put(leaves: number, node: Subtree, sum: Sum): void {
    this.#leaves = leaves;
    let [at, total] = [node, sum];
    for (let kin = siblingOf(leaves, at); kin !== undefined; kin = siblingOf(leaves, at)) {
      const other = this.#take(kin.sibling);
      if (other === undefined) break;
      total = kin.isLeft ? this.add(total, other) : this.add(other, total);
      at = { first: Math.min(at.first, kin.sibling.first), leaves: at.leaves + kin.sibling.leaves };
    }
    this.#held.push({ node: at, sum: total });
  }

  /** The sum of a node that is there; this object still owns it. */
  find(node: Subtree): Sum {
    const found = this.#held.find((one) => same(one.node, node));
    if (found === undefined) throw new RangeError(`there is no sum of ${nameOf(node)} alone`);
    return found.sum;
  }

  /** The sum of all leaves; from then on, the caller owns it. */
  takeWhole(): Sum {
    if (this.#held.length === 0) throw new RangeError('there are no gradients: no leaf of a step has been accumulated');
    const whole = this.#take({ first: 0, leaves: this.#leaves });
    if (whole !== undefined) return whole;
    const within = (leaf: number) => this.#held.some(({ node: { first, leaves } }) => leaf >= first && leaf < first + leaves);
    const missing = Array.from({ length: this.#leaves }, (_, leaf) => leaf).find((leaf) => !within(leaf));
    throw new RangeError(`leaf ${missing} of ${this.#leaves} is missing from the step`);
  }

  /** Puts the same sum elsewhere. */
  move(from: Sum, to: Sum): void {
    for (const held of this.#held) if (held.sum === from) held.sum = to;
  }

  holds(sum: Sum): boolean {
    return this.#held.some((held) => held.sum === sum);
  }

  clear(): void {
    for (const { sum } of this.#held) this.free(sum);
    this.#held = [];
  }

  #take(node: Subtree): Sum | undefined {
    const at = this.#held.findIndex((one) => same(one.node, node));
    return at === -1 ? undefined : this.#held.splice(at, 1)[0]?.sum;
  }
}

const same = (a: Subtree, b: Subtree) => a.first === b.first && a.leaves === b.leaves;
const nameOf = ({ first, leaves }: Subtree) => (leaves === 1 ? `leaf ${first}` : `leaves ${first} to ${first + leaves - 1}`);
