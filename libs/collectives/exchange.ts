import { exchangeProgram } from './exchange-program.js';
import type { Mesh } from './mesh.js';
import { checkPlan, type ExchangePlan, keyOf } from './plan.js';

/**
 * The sum of a step's leaves on every member: adds the subtrees that the members hold in the order of the tree, so that the bits do not depend on who
 * holds which. Every member calls it with the same plan, with `mine` by the keys of its own subtrees. All arrays have `elements` floats, and `sum` shares
 * no memory with the others. A transfer counts as stuck from the call on, so call it when all members have finished their leaves.
 * @throws RangeError if the plan or an array is wrong
 */
export async function exchange(mesh: Mesh, plan: ExchangePlan, mine: ReadonlyMap<string, Float32Array>, sum: Float32Array): Promise<void> {
  checkPlan(plan);
  if (plan.held.length !== mesh.size) throw new RangeError(`the plan has ${plan.held.length} members, the mesh ${mesh.size}`);
  const arrays = (plan.held[mesh.rank] ?? []).map((subtree) => {
    const values = mine.get(keyOf(subtree));
    if (values === undefined) throw new RangeError(`the plan says that member ${mesh.rank} holds ${keyOf(subtree)}, which was not given`);
    return values;
  });
  for (const values of [...arrays, sum])
    if (values.length !== plan.elements) throw new RangeError(`an array has ${values.length} floats, must have ${plan.elements}`);
  if (arrays.some((values) => overlap(values, sum))) throw new RangeError('the sum shares memory with what it is the sum of');
  await mesh.run(exchangeProgram(mesh.rank, plan), [...arrays, sum]);
}

const overlap = (a: Float32Array, b: Float32Array) =>
  a.buffer === b.buffer && a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength;
