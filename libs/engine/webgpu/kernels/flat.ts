/** The template of kernels that compute every element of `y` by itself: arithmetic on single elements, and copies to other places. */
import { type DeviceCall, type DeviceKernel, type Dispatch, FLAT, flatGroups, type OperandReference, shader } from './kernel.js';

/** How many elements of `y` one step of a shader computes, and how they are written in WGSL. */
export interface Lanes {
  count: 1 | 2 | 4;
  /** f32, vec2f or vec4f. */
  type: string;
  /** The elements of an operand from `index` on, which is a multiple of `count`. Default: the place of y's own elements. */
  load(operand: string, index?: string): string;
}

export interface FlatSpec {
  label: string;
  /** As of a shader; one is `y`. */
  operands: Readonly<Record<string, OperandReference>>;
  /** Elements of `y` per sample. */
  perSample: number;
  /** Elements of `y` that lie side by side in every operand too, beginning at multiples of this number. Default perSample. */
  run?: number;
  /** Statements that return the elements of `y` from `i: u32` on. */
  body: (lanes: Lanes) => string;
  declarations?: string;
  positions?: boolean;
  dropout?: boolean;
}

/** A kernel that does nothing else. */
export const flatKernel = (call: DeviceCall, spec: FlatSpec): DeviceKernel => ({ dispatches: [flat(call, spec)] });

export function flat(call: DeviceCall, spec: FlatSpec): Dispatch {
  const { label, operands, perSample, run = perSample, body, declarations = '', positions = false, dropout = false } = spec;
  const lanes = lanesOf(run);
  // Two elements are the least that a thread takes, so that it can store them as one word of bf16. An odd last element has padding behind it.
  const each = Math.max(2, lanes.count);
  const value = lanes.count === 1 ? 'vec2f(element(2u * i), element(2u * i + 1u))' : `element(${each}u * i)`;
  return shader(call, {
    label,
    operands,
    workgroupSize: 64,
    workgroups: (n) => flatGroups(Math.ceil((n * perSample) / each)),
    positions,
    dropout,
    declarations: `${FLAT}${declarations}
fn element(i: u32) -> ${lanes.type} {
${body(lanes)}
}`,
    body: `
  let i = flat_index(id, groups);
  if (${each}u * i >= call.n * ${perSample}u) { return; }
  store${each}_y(i, ${value});`,
  });
}

const types = { 1: 'f32', 2: 'vec2f', 4: 'vec4f' } as const;

function lanesOf(run: number): Lanes {
  const count = run % 4 === 0 ? 4 : run % 2 === 0 ? 2 : 1;
  const load = (operand: string, index = 'i') =>
    count === 1 ? `load_${operand}(${index})` : `load${count}_${operand}((${index}) / ${count}u)`;
  return { count, type: types[count], load };
}
