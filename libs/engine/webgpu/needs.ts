/** What a program needs of a device, known before anything is allocated. */
import type { StateName } from '../executable.js';
import type { PrepareOptions } from '../executor.js';
import type { ProgramSpec } from '../native/program-spec.js';
import type { Precision } from '../precision.js';
import { ALIGNMENT_FLOATS, type PlannedCall } from './calls.js';
import { type AdapterDescription, F16_FEATURE } from './device.js';
import { ERASE_WORDS, ROW_WORDS, ROWS_AT } from './finish-words.js';
import { mostPageBytes, pagesOf, rowsPerPage } from './staged-pages.js';

export interface Needs {
  /** Every buffer, by what is in it: those that the program allocates when it is created, and those that its steps will need. */
  buffers: readonly { of: string; bytes: number }[];
  /** Bytes of all of them. */
  bytes: number;
  /** The largest part of a buffer that a shader binds. */
  binding: { of: string; bytes: number };
  /** The shader that binds the most buffers. */
  bindings: { of: string; count: number };
}

export const alignedFloats = (floats: number) => Math.ceil(floats / ALIGNMENT_FLOATS) * ALIGNMENT_FLOATS;
const states = ['weights', 'gradients', 'first_moment', 'second_moment', 'ema'] as const satisfies StateName[];

/** The buffers of the arena in bytes; those of a state come first. */
export function arenaBytes(spec: ProgramSpec, calls: readonly PlannedCall[]) {
  const { chunkSamples, paths } = spec;
  const parameters = 4 * sum(spec.parameters.map(({ size }) => alignedFloats(size)));
  const scratch = Math.max(0, ...calls.map(({ scratch = {} }) => sum(Object.values(scratch).map(alignedFloats))));
  return {
    states: Object.fromEntries(states.map((name) => [name, parameters])) as Record<StateName, number>,
    values: 4 * spec.arenaFloats,
    scratch: 4 * scratch,
    images: 4 * chunkSamples * spec.imageFloats,
    targets: 4 * chunkSamples * spec.classes,
    samples: 4 * chunkSamples * (1 + 2 * paths),
  };
}

/** Buffers that are allocated when steps first need them, for steps that hold so much. */
function buffersOfSteps(spec: ProgramSpec, held: PrepareOptions['held'], limits: AdapterDescription['limits']): Needs['buffers'] {
  const { samples, batches, leaves } = held;
  const words = ROWS_AT + (ROW_WORDS + ERASE_WORDS) * samples;
  const pages = pagesOf(samples, spec.imageFloats, rowsPerPage(spec.imageFloats, mostPageBytes(limits)));
  const batch = [...pages.map((bytes) => ({ of: 'images to finish', bytes })), { of: 'finishing plan', bytes: 2 * 4 * words }];
  // Sums of 1, 2, 4 … leaves wait for the leaf that is being computed.
  const waiting = Math.floor(Math.log2(leaves));
  const gradient = { of: 'gradients of another leaf', bytes: arenaBytes(spec, []).states.gradients };
  return [...Array.from({ length: batches }, () => batch).flat(), ...Array.from({ length: waiting }, () => gradient)];
}

export function needsOf(
  spec: ProgramSpec,
  calls: readonly PlannedCall[],
  held: PrepareOptions['held'],
  limits: AdapterDescription['limits'],
): Needs {
  const { states: parameters, values, scratch, ...batch } = arenaBytes(spec, calls);
  const program = { ...parameters, activations: values, 'scratch memory': scratch, ...batch };
  const buffers = [
    ...Object.entries(program).map(([of, bytes]) => ({ of: of.replace('_', ' '), bytes })),
    ...buffersOfSteps(spec, held, limits),
  ];
  const binding = largest([
    ...spec.values.map(({ elementsPerSample, type }) => ({
      of: 'an activation',
      amount: elementsPerSample * spec.chunkSamples * ((type ?? 'fp32') === 'fp32' ? 4 : 2),
    })),
    ...spec.parameters.map(({ size }) => ({ of: 'a parameter', amount: 4 * size })),
    ...calls.flatMap(({ instruction, scratch = {} }) =>
      Object.values(scratch).map((floats) => ({ of: `scratch memory of ${instruction.kernel}`, amount: 4 * floats })),
    ),
    ...Object.entries(batch).map(([of, amount]) => ({ of, amount })),
  ]);
  const most = largest(
    calls.flatMap(({ dispatches }) => dispatches.map(({ label, bindings }) => ({ of: label, amount: bindings.length }))),
  );
  return {
    buffers,
    bytes: sum(buffers.map(({ bytes }) => bytes)),
    binding: { of: binding.of, bytes: binding.amount },
    bindings: { of: most.of, count: most.amount },
  };
}

/** What an adapter lacks for a program. */
export interface Lack {
  /** One clause, with what to do. */
  reason: string;
  /** A smaller chunk of samples may help. */
  ofMemory: boolean;
}

/** `memoryBytes`: most bytes that the program may take, if there is a limit. */
export function lackOf(needs: Needs, { name, limits }: AdapterDescription, memoryBytes: number | undefined): Lack | undefined {
  const { bindings, binding, buffers, bytes } = needs;
  if (bindings.count > limits.storageBuffers) {
    const reason = `${bindings.of} binds ${bindings.count} buffers, but a shader of ${name} can bind ${limits.storageBuffers}; choose another GPU (DROPSTREAM_GPU) or engine`;
    return { reason, ofMemory: false };
  }
  const buffer = largest(buffers.map(({ of, bytes: amount }) => ({ of, amount })));
  if (buffer.amount > limits.bufferBytes) return short(`${buffer.of} take ${mb(buffer.amount)}`, `a buffer of ${name}`, limits.bufferBytes);
  if (binding.bytes > limits.bindingBytes)
    return short(`${binding.of} takes ${mb(binding.bytes)}`, `a shader of ${name}`, limits.bindingBytes);
  if (memoryBytes !== undefined && bytes > memoryBytes)
    return short(`the program takes ${mb(bytes)}`, 'DROPSTREAM_GPU_MEMORY', memoryBytes);
  return undefined;
}

/** What an adapter lacks for a precision, as one clause with what to do. */
export function lackOfPrecision(
  precision: Precision,
  { name, features }: Pick<AdapterDescription, 'name' | 'features'>,
): string | undefined {
  if (precision !== 'f16' || features.includes(F16_FEATURE)) return undefined;
  return `${name} does not have the feature ${F16_FEATURE}, which precision f16 needs; choose precision bf16 or fp32, or another GPU (DROPSTREAM_GPU)`;
}

const short = (needs: string, what: string, limit: number): Lack => {
  return { reason: `${needs}, but ${what} allows ${mb(limit)}; ${LESS_MEMORY}`, ofMemory: true };
};

export const LESS_MEMORY = 'a smaller model, smaller images, smaller batches or another engine need less';
const mb = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MB`;
const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
const largest = (all: readonly { of: string; amount: number }[]) =>
  all.reduce((most, one) => (one.amount > most.amount ? one : most), { of: 'nothing', amount: 0 });
