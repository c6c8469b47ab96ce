/** Compares a kernel of the WebGPU executor with the float64 machine on the same operands. */
import { kernelOperands } from '#native/kernel-operands.js';
import { PhiloxDraws } from '#random/philox.js';
import { assertChecks } from './checks.js';
import { runKernelInFloat64 } from './float64-program.js';
import { type KernelRun, runKernel } from './webgpu-kernel.js';

/** Reproducible values from −1 to 1. */
export function values(length: number, seed: number): Float32Array {
  const draws = new PhiloxDraws({ k0: seed, k1: 0x77676c73 });
  return Float32Array.from({ length }, (_, i) => 2 * draws.uniform(i) - 1);
}

/**
 * Runs the call on both, and asserts that no element of an output is off by more than `tolerance` times the largest element that the output should
 * have (at least 1e-3, so that an output of zeros has a scale).
 */
export async function assertMatchesFloat64(run: KernelRun, tolerance: number): Promise<void> {
  const actual = await runKernel(run);
  const expected = runKernelInFloat64(inFloat64(run));
  const checks = Object.entries(expected).map(([name, wanted]) => {
    const scale = Math.max(1e-3, ...wanted.map(Math.abs));
    const error = wanted.reduce((worst, value, i) => {
      const off = Math.abs(value - (actual[name]?.[i] ?? Number.NaN));
      return off <= worst ? worst : off;
    }, 0);
    return { what: `${run.kernel}.${name}`, error: error / scale, tolerance };
  });
  assertChecks(checks, JSON.stringify(run.attributes));
}

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
    inputs: inOrder(slots.inputs, run.inputs),
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
