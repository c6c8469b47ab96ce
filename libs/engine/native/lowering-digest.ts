import { mapInPieces, type Pieces } from '#bounds/pieces.js';
import { digest, sorted } from '../fingerprint.js';
import type { Instruction, Operand, ProgramSpec } from './program-spec.js';

/**
 * Digest of what a lowered program computes: kernels in order with their operands, attributes and types, and the samples of a chunk. Values are
 * numbered in the order of their first use, because neither their indices nor their places in memory change what is computed.
 */
export function* loweringDigest(spec: ProgramSpec): Pieces<string> {
  const names = new Map<number, number>();
  const operand = (one: Operand): unknown => {
    if ('input' in one) return one.input;
    if ('param' in one) return ['param', one.param];
    if ('grad' in one) return ['grad', one.grad];
    const { elementsPerSample, type = 'fp32' } = spec.values[one.value]!;
    if (!names.has(one.value)) names.set(one.value, names.size);
    return [names.get(one.value), elementsPerSample, type];
  };
  const instruction = ({ kernel, domain, inputs, outputs, attributes, site }: Instruction) => [
    kernel,
    domain,
    inputs.map(operand),
    outputs.map(operand),
    sorted(attributes),
    site ?? null,
  ];
  const { chunkSamples, parameters, sites, paths, logits, loss } = spec;
  const [forward, backward] = [yield* mapInPieces(spec.forward, instruction), yield* mapInPieces(spec.backward, instruction)];
  return digest([
    chunkSamples,
    forward,
    backward,
    parameters.map(({ size }) => size),
    sites.map(({ elementsPerSample }) => elementsPerSample),
    paths,
    operand({ value: logits }),
    operand({ value: loss }),
  ]);
}
