/**
 * What a kernel of the WebGPU executor is: one lowered call (libs/native/kernels.def) becomes a list of dispatches of WGSL shaders. A kernel is made
 * once per call of a program, when the program is created; its pipelines, bind groups and sizes of memory never change afterwards. What changes from
 * chunk to chunk is in the uniform `call` (call-words.ts) and in the number of workgroups, which is a function of `call.n`.
 *
 * Rules for every kernel:
 *  - Sums have a fixed order, and there are no atomics on floats: equal inputs give equal bits on one device.
 *  - Pipelines are cached by their code, and take long to compile. So calls with the same attributes must give the same code, and the large shaders
 *    of many shapes, the products, have their sizes in `call.sizes`. In all others, attributes and shapes are constants.
 *  - `y` may be stored where an input is (Slot.in_place in kernels.def). A thread may then only read the elements of that input that it writes
 *    itself, and a dispatch that reads the input must come before the one that overwrites it.
 *  - Memory behind the elements of an operand is undefined up to a multiple of 64 floats, but it exists.
 *  - Gradients of parameters are added to (the operand holds the sum of the chunks before).
 */
import type { KernelName } from '#native/kernel-operands.js';
import type { ElementType, HalfType } from '../../native/program-spec.js';
import { CALL_STRUCT } from '../call-words.js';
import { type Access, halfAccessors, halves } from './halves.js';
import { DROPOUT, POSITIONS } from './shared.js';
import type { Tiles } from './tile-shapes.js';

/** An operand of a call: where it is and how it is stored. */
export interface DeviceOperand {
  type: ElementType;
  memory: 'value' | 'parameter' | 'gradient' | 'batch';
  /** Two operands of a call with the same place are the same memory and share one binding. */
  place: string;
}

/** One call of a lowered program. Operands have the names of libs/native/kernels.def; an optional one that is absent is not in the records. */
export interface DeviceCall {
  kernel: KernelName;
  /** Those of kernels.def; sizes are per sample. */
  attributes: Readonly<Record<string, number>>;
  inputs: Readonly<Record<string, DeviceOperand>>;
  outputs: Readonly<Record<string, DeviceOperand>>;
  /** Whether the call has a dropout site. Without one, `drop_factor` is always 1. */
  draws: boolean;
  /** Largest number of samples of a chunk. */
  chunkSamples: number;
  /** The tiles that were chosen for matrix products. */
  tiles?: Tiles;
}

/** `in.x` and `out.y` are operands of the call; `scratch.NAME` is memory of the call's own, undefined before its first dispatch. */
export type OperandReference = `in.${string}` | `out.${string}` | `scratch.${string}`;
/** `samples`: the kept samples (shared.ts); `masks`: explicit masks of dropout, one bit per element. */
export type Bound = OperandReference | 'samples' | 'masks';

export interface Dispatch {
  /** For messages and profiles. */
  label: string;
  /** Complete WGSL with the entry point `main`. Binding 0 of group 0 is the uniform `call`. */
  code: string;
  /** Bindings 1, 2, … */
  bindings: readonly { bound: Bound; access: 'read' | 'read_write' }[];
  /** Up to four numbers that the code reads as `call.sizes`, which is a vec4u. */
  sizes?: readonly number[];
  /** Workgroups for n samples of the call's domain; none if one of them is 0. At most 65,535 in each direction. */
  workgroups: (n: number) => readonly [x: number, y: number, z: number];
}

export interface DeviceKernel {
  /** In order; each sees what those before it wrote. */
  dispatches: readonly Dispatch[];
  /** Floats of each scratch operand, for a full chunk. */
  scratch?: Readonly<Record<string, number>>;
}

export type KernelGenerator = (call: DeviceCall) => DeviceKernel;

export interface ShaderSpec {
  label: string;
  /**
   * The operands by their names in WGSL. An operand `x` has `load_x(i) -> f32`; `load2_x(i) -> vec2f`, elements 2i and 2i + 1; `load4_x(i) -> vec4f`,
   * elements 4i … 4i + 3; the same as `store2_x(i, v)`, `store4_x(i, v)`; and, only if it is fp32, `store_x(i, v)`, since two halves share a word. The
   * variable itself, `data_x`, is array<f32>, or array<u32> with two halves in a word; if the code only uses load4_x and store4_x, it is
   * array<vec4f> or array<vec2u>. Every operand must be used.
   */
  operands: Readonly<Record<string, OperandReference>>;
  /** The fp32 operand whose elements are rounded when they are loaded: the weight of a product of halves. */
  rounded?: { operand: string; to: HalfType } | undefined;
  /** The code has variables of the type f16, which needs the device's feature `shader-f16`. */
  usesF16?: boolean;
  workgroupSize: number | readonly [x: number, y: number, z?: number];
  workgroups: Dispatch['workgroups'];
  sizes?: readonly number[];
  /** Module-scope declarations: functions, workgroup variables, constants. */
  declarations?: string;
  /** Declares `position(i) -> u32` and `slot(s) -> u32` (shared.ts). */
  positions?: boolean;
  /** Declares `drop_factor(i, element) -> f32` and `drop_factors(i, block) -> vec4f` (shared.ts). Implies positions. */
  dropout?: boolean;
  /**
   * Body of `main`, with the builtins `id` (global_invocation_id), `group` (workgroup_id), `groups` (num_workgroups), `local` (local_invocation_id) and
   * `lane` (local_invocation_index).
   */
  body: string;
}

/** Makes a dispatch of a shader: declares the operands, the uniform and the entry point around the body. */
export function shader(call: DeviceCall, spec: ShaderSpec): Dispatch {
  const {
    label,
    operands,
    rounded,
    usesF16 = false,
    workgroupSize,
    workgroups,
    sizes,
    declarations = '',
    positions = false,
    dropout = false,
    body,
  } = spec;
  const bindings: { bound: Bound; access: 'read' | 'read_write' }[] = [];
  const declared: string[] = rounded === undefined ? [] : [halves[rounded.to].declarations];
  const variables = new Map<string, string>();
  const fours = placesInFours(call, spec);
  const declare = (variable: string, element: string, bound: Bound, access: 'read' | 'read_write') => {
    bindings.push({ bound, access });
    declared.push(`@group(0) @binding(${bindings.length}) var<storage, ${access}> ${variable}: array<${element}>;`);
  };
  for (const [name, reference] of Object.entries(operands)) {
    const { type, memory, place } = operandOf(call, reference);
    let variable = variables.get(place);
    if (variable === undefined) {
      variable = `data_${name}`;
      variables.set(place, variable);
      // All of the arena is read_write: WebGPU forbids read and read_write uses of one buffer in a dispatch, even at disjoint places.
      const element = type === 'fp32' ? (fours.has(place) ? 'vec4f' : 'f32') : fours.has(place) ? 'vec2u' : 'u32';
      declare(variable, element, reference, memory === 'parameter' || memory === 'batch' ? 'read' : 'read_write');
    }
    if (type !== 'fp32' && !declared.includes(halves[type].declarations)) declared.push(halves[type].declarations);
    const access = { name, data: variable, readOnly: reference.startsWith('in.'), inFours: fours.has(place) };
    declared.push(
      type === 'fp32' ? floatAccessors(access, rounded?.operand === name ? rounded.to : undefined) : halfAccessors(access, type),
    );
  }
  const draws = dropout && call.draws;
  if (positions || draws) declare('samples', 'u32', 'samples', 'read');
  if (draws) declare('masks', 'u32', 'masks', 'read');
  const size = typeof workgroupSize === 'number' ? [workgroupSize] : workgroupSize;
  const code = `${usesF16 ? 'enable f16;\n' : ''}${CALL_STRUCT}
@group(0) @binding(0) var<uniform> call: Call;
${declared.join('\n')}
${positions || draws ? POSITIONS : ''}${dropout ? (draws ? DROPOUT : NO_DROPOUT) : ''}${declarations}
@compute @workgroup_size(${size.join(', ')})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
        @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) lane: u32) {
${body}
}
`;
  return { label, code, bindings, workgroups, ...(sizes && { sizes }) };
}

/** Workgroups for any number of threads, in two directions; the thread's index is `flat_index(id, groups)` of FLAT. */
export function flatGroups(threads: number, workgroupSize = FLAT_SIZE): readonly [number, number, number] {
  const all = Math.ceil(threads / workgroupSize);
  const x = Math.min(all, MOST_GROUPS);
  return [x, x === 0 ? 0 : Math.ceil(all / x), 1];
}

/** Workgroup size of kernels that work element by element. */
const FLAT_SIZE = 64;
/** A declaration for shaders with flatGroups. The index may be beyond the last element. */
export const FLAT = `fn flat_index(id: vec3u, groups: vec3u) -> u32 { return id.y * groups.x * ${FLAT_SIZE}u + id.x; }\n`;

const MOST_GROUPS = 65_535;

const NO_DROPOUT = `
fn drop_factor(i: u32, element: u32) -> f32 { return 1.0; }
fn drop_factors(i: u32, block: u32) -> vec4f { return vec4f(1.0); }
`;

function operandOf(call: DeviceCall, reference: OperandReference): DeviceOperand {
  const [kind, name = ''] = reference.split('.');
  if (kind === 'scratch') return { type: 'fp32', memory: 'value', place: reference };
  const operand = (kind === 'in' ? call.inputs : call.outputs)[name];
  if (operand === undefined) throw new Error(`${call.kernel}: operand ${reference} is missing`);
  return operand;
}

/** The places that the code reads and writes four elements at a time only. As arrays of vec4f, a device moves their 16 bytes at once. */
function placesInFours(call: DeviceCall, { operands, declarations = '', body }: ShaderSpec): ReadonlySet<string> {
  const all = Object.entries(operands).map(([name, reference]) => ({ name, place: operandOf(call, reference).place }));
  const code = declarations + body;
  const inFours = (name: string) => !new RegExp(`\\b(?:(?:load2?|store2?)_${name}\\(|data_${name}\\b)`).test(code);
  return new Set(all.map(({ place }) => place).filter((place) => all.every((one) => one.place !== place || inFours(one.name))));
}

function floatAccessors({ name, data, readOnly, inFours }: Access, roundedTo: HalfType | undefined): string {
  const round = roundedTo && halves[roundedTo].rounded;
  if (inFours) {
    const rounded = `return vec4f(${round}(v.x), ${round}(v.y), ${round}(v.z), ${round}(v.w));`;
    const load = `fn load4_${name}(i: u32) -> vec4f { let v = ${data}[i]; ${round ? rounded : 'return v;'} }`;
    return readOnly ? load : `${load}\nfn store4_${name}(i: u32, v: vec4f) { ${data}[i] = v; }`;
  }
  const at = (index: string) => (round ? `${round}(${data}[${index}])` : `${data}[${index}]`);
  const loads = `fn load_${name}(i: u32) -> f32 { return ${at('i')}; }
fn load2_${name}(i: u32) -> vec2f { return vec2f(${at('2u * i')}, ${at('2u * i + 1u')}); }
fn load4_${name}(i: u32) -> vec4f { let k = 4u * i; return vec4f(${at('k')}, ${at('k + 1u')}, ${at('k + 2u')}, ${at('k + 3u')}); }`;
  if (readOnly) return loads;
  return `${loads}
fn store_${name}(i: u32, v: f32) { ${data}[i] = v; }
fn store2_${name}(i: u32, v: vec2f) { ${data}[2u * i] = v.x; ${data}[2u * i + 1u] = v.y; }
fn store4_${name}(i: u32, v: vec4f) { let k = 4u * i; ${data}[k] = v.x; ${data}[k + 1u] = v.y; ${data}[k + 2u] = v.z; ${data}[k + 3u] = v.w; }`;
}
