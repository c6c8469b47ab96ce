/** Sums and maxima over the threads of a workgroup, in a fixed order. */

import { ONE } from './tiles.js';

/** Threads of a workgroup that works on one row, or on a few. */
export const TEAM = 64;

/** `team_sum(lane, v)`, of a vec2f from every thread: the sum, for all of them. */
export const TEAM_SUM = reduction('team_sum', '+');

/** `team_max(lane, v)`: the same for the larger of every component. */
export const TEAM_MAX = reduction('team_max', 'max');

function reduction(name: string, operation: '+' | 'max'): string {
  const both = (a: string, b: string) => (operation === '+' ? `${a} + ${b}` : `max(${a}, ${b})`);
  return `
var<workgroup> ${name}_terms: array<vec2f, ${TEAM}>;
fn ${name}(lane: u32, v: vec2f) -> vec2f {
  ${name}_terms[lane] = v;
  workgroupBarrier();
  for (var half = ${TEAM / 2}u * ${ONE}; half > 0u; half >>= 1u) {
    if (lane < half) { ${name}_terms[lane] = ${both(`${name}_terms[lane]`, `${name}_terms[lane + half]`)}; }
    workgroupBarrier();
  }
  let result = ${name}_terms[0];
  workgroupBarrier();
  return result;
}
`;
}
