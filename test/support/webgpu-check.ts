/** Compares a kernel of the WebGPU executor with the float64 machine on the same operands. */
import type { HalfType } from '#engine/native/program-spec.js';
import type { OperandReference } from '#engine/webgpu/kernels/kernel.js';
import { float16ToFloat32, float32ToFloat16 } from '#interchange/half-floats.js';
import { kernelOperands } from '#native/kernel-operands.js';
import { PhiloxDraws } from '#random/philox.js';
import { assertChecks } from './checks.js';
import { nearest, runKernelInFloat64 } from './float64-program.js';
import { type KernelRun, noF16, runKernel } from './webgpu-kernel.js';

/** Reproducible values from −1 to 1. */
export function values(length: number, seed: number): Float32Array {
  const draws = new PhiloxDraws({ k0: seed, k1: 0x77676c73 });
  return Float32Array.from({ length }, (_, i) => 2 * draws.uniform(i) - 1);
}

/**
 * Runs the call on both, and asserts that no element of an output is off by more than `tolerance` times the largest element that the output should
 * have (at least 1e-3, so that an output of zeros has a scale). An element stored as a half must be what one rounding makes of such a number.
 */
export async function assertMatchesFloat64(run: KernelRun, tolerance: number): Promise<void> {
  const actual = await runKernel(run);
  const expected = runKernelInFloat64(inFloat64(run));
  const checks = Object.entries(expected).map(([name, wanted]) => {
    const scale = wanted.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1e-3);
    const distance = run.halves?.includes(`out.${name}`)
      ? beforeRounding(run.half ?? 'bf16')
      : (value: number, found: number) => Math.abs(value - found);
    const error = wanted.reduce((worst, value, i) => {
      const off = distance(value, actual[name]?.[i] ?? Number.NaN);
      return off <= worst ? worst : off;
    }, 0);
    return { what: `${run.kernel}.${name}`, error: error / scale, tolerance };
  });
  assertChecks(checks, JSON.stringify({ ...run.attributes, [run.half ?? 'bf16']: run.halves }));
}

/** The same with every mixture of fp32 and bf16 that the kernel table allows, and with as many f16 as it allows where the device has them. */
export async function assertMatchesInHalves(run: KernelRun, tolerance: number): Promise<void> {
  const mixtures = mixturesOf(run);
  if (mixtures.length === 0) throw new Error(`${run.kernel} has no operand that may be a half`);
  for (const halves of mixtures) await assertMatchesFloat64({ ...run, halves }, tolerance);
  if (noF16 === false) await assertMatchesFloat64({ ...run, halves: mixtures[0]!, half: 'f16' }, tolerance);
}

/** All that can be halves; and of the operands whose types are their own only what is read, or only what is written. */
function mixturesOf({ kernel, inputs, outputs, inPlace }: KernelRun): OperandReference[][] {
  const slots = kernelOperands[kernel];
  const those = (kind: 'in' | 'out', storage: 'own' | 'alike'): OperandReference[] => {
    const present = kind === 'in' ? inputs : outputs;
    return (kind === 'in' ? slots.inputs : slots.outputs)
      .filter((slot) => slot.storage === storage && slot.name in present && slot.name !== 'images')
      .map(({ name }): OperandReference => `${kind}.${name}`);
  };
  const alike = [...those('in', 'alike'), ...those('out', 'alike')];
  const [read, written] = [those('in', 'own'), those('out', 'own')];
  const sets = [[...alike, ...read, ...written], [...alike, ...read], [...alike, ...written], alike, [...read, ...written]];
  const sameMemory = (set: OperandReference[]) => inPlace === undefined || set.includes(`in.${inPlace}`) === set.includes('out.y');
  const different = new Map(sets.filter((set) => set.length > 0 && sameMemory(set)).map((set) => [[...set].sort().join(' '), set]));
  return [...different.values()];
}

/** How far the number at least is from `value` of which `found` is the nearest half, ties to even. */
const beforeRounding = (type: HalfType) => (value: number, found: number) => {
  if (!(nearest[type](found) === found)) return Number.NaN;
  const [below, above] = [neighbour[type](found, -1), neighbour[type](found, 1)];
  return Math.max(0, (found + below) / 2 - value, value - (found + above) / 2);
};

const bits = new DataView(new ArrayBuffer(4));

/** The next half downwards or upwards. */
const neighbour: Readonly<Record<HalfType, (value: number, direction: -1 | 1) => number>> = {
  bf16(value, direction) {
    bits.setFloat32(0, value === 0 ? 0 : value);
    const magnitude = bits.getUint32(0) & 0x7fffffff;
    const sign = value === 0 ? direction : Math.sign(value);
    bits.setUint32(0, magnitude + (value === 0 || sign === direction ? 0x10000 : -0x10000));
    return sign * bits.getFloat32(0);
  },
  f16(value, direction) {
    const magnitude = float32ToFloat16(Float32Array.of(Math.abs(value)))[0]!;
    const sign = value === 0 ? direction : Math.sign(value);
    return sign * float16ToFloat32(Uint16Array.of(magnitude + (value === 0 || sign === direction ? 1 : -1)))[0]!;
  },
};

function inFloat64(run: KernelRun): Parameters<typeof runKernelInFloat64>[0] {
  const { kernel, attributes, n, samples = n, dropout, pathRate = 0, lossScale = 1 } = run;
  const all = Array.from({ length: samples }, (_, i) => i);
  const positions = run.positions ?? all.slice(0, n);
  const path = attributes.path ?? 0;
  // The call's own domain is the path's, but for scatter_add_kept, which works on all samples.
  const domains = [all, ...Array.from({ length: path + 1 }, () => [...(run.kept ?? positions)])];
  const domain = kernel === 'scatter_add_kept' || run.positions === undefined ? 0 : path + 1;
  if (domain > 0) domains[domain] = [...positions];
  const slots = kernelOperands[kernel];
  const inOrder = <T>(names: readonly { name: string }[], given: Record<string, T>) =>
    Object.fromEntries(names.flatMap(({ name }) => (given[name] === undefined ? [] : [[name, given[name]]])));
  const site = dropout?.site ?? 0;
  const rates = new Float64Array(site + 1);
  rates[site] = dropout?.rate ?? 0;
  return {
    kernel,
    attributes,
    inputs: inOrder(slots.inputs, inputsAsRead(run)),
    outputs: inOrder(slots.outputs, run.outputs),
    domain: kernel === 'gather_kept' ? path + 1 : domain,
    positions: domains,
    firstSample: dropout?.firstSample ?? 0,
    ...(dropout && { site }),
    random: {
      seed: dropout?.seed ?? 0n,
      step: dropout?.step ?? 0,
      siteRates: rates,
      pathRates: new Float64Array(path + 1).fill(pathRate),
      ...(dropout?.mask && { siteMasks: [...Array.from({ length: site }, () => undefined), dropout.mask] }),
    },
    lossScale,
  };
}

/** Inputs that are halves are rounded; so is the weight of a product whose activations are halves. */
function inputsAsRead({ kernel, inputs, halves = [], half = 'bf16' }: KernelRun): Record<string, Float32Array> {
  const product = kernel === 'linear' || kernel === 'linear_input_grad';
  const roundsWeight = product && (halves.includes('in.x') || halves.includes('in.dy'));
  return Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => {
      const rounds = halves.includes(`in.${name}`) || (name === 'weight' && roundsWeight);
      return [name, rounds ? Float32Array.from(values, nearest[half]) : values];
    }),
  );
}
