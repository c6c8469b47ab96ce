/** The calls of a lowered program as the device runs them: each with its kernel. */
import { mapInPieces, type Pieces } from '#bounds/pieces.js';
import type { Slot } from '#native/kernel-operands.js';
import { kernelOf } from '../native/kernel-table.js';
import type { ElementType, Instruction, Operand, ProgramSpec } from '../native/program-spec.js';
import { kernelFor } from './kernels/index.js';
import type { DeviceCall, DeviceKernel, DeviceOperand } from './kernels/kernel.js';
import type { Tiles } from './kernels/tile-shapes.js';

/** Parameters and values begin at multiples of this, because bindings begin at multiples of 256 bytes. */
export const ALIGNMENT_FLOATS = 64;

export interface PlannedCall extends DeviceKernel {
  instruction: Instruction;
  /** Place among the calls of its pass. */
  index: number;
  /** By the names of kernels.def. */
  inputs: Readonly<Record<string, Operand>>;
  outputs: Readonly<Record<string, Operand>>;
}

/** Throws for an operation without a kernel. */
export function* planCalls(spec: ProgramSpec, instructions: readonly Instruction[], tiles: Tiles = {}): Pieces<PlannedCall[]> {
  let index = 0;
  return yield* mapInPieces(instructions, (instruction) => planCall(spec, instruction, index++, tiles), 16);
}

function planCall(spec: ProgramSpec, instruction: Instruction, index: number, tiles: Tiles): PlannedCall {
  const { kernel, attributes, site } = instruction;
  const slots = kernelOf(kernel);
  const inputs = named(slots.inputs, instruction.inputs);
  const outputs = named(slots.outputs, instruction.outputs);
  const operands = (from: Readonly<Record<string, Operand>>): Record<string, DeviceOperand> =>
    Object.fromEntries(Object.entries(from).map(([name, operand]) => [name, deviceOperand(spec, operand)]));
  const call: DeviceCall = {
    kernel,
    attributes,
    inputs: operands(inputs),
    outputs: operands(outputs),
    draws: site !== undefined,
    chunkSamples: spec.chunkSamples,
    tiles,
  };
  return { instruction, index, inputs, outputs, ...kernelFor(kernel)(call) };
}

/** The type that a product multiplies, which is that of its activations. */
export function multipliedType({ values }: ProgramSpec, { inputs }: PlannedCall): ElementType {
  const activations = inputs.dy ?? inputs.x;
  return activations !== undefined && 'value' in activations ? (values[activations.value]?.type ?? 'fp32') : 'fp32';
}

/** Only trailing operands can be absent. */
function named(slots: readonly Slot[], operands: readonly Operand[]): Record<string, Operand> {
  return Object.fromEntries(operands.map((operand, at) => [slots[at]!.name, operand]));
}

function deviceOperand({ values }: ProgramSpec, operand: Operand): DeviceOperand {
  if ('param' in operand) return { type: 'fp32', memory: 'parameter', place: `parameter ${operand.param}` };
  if ('grad' in operand) return { type: 'fp32', memory: 'gradient', place: `gradient ${operand.grad}` };
  if ('input' in operand) return { type: 'fp32', memory: 'batch', place: operand.input };
  const { type = 'fp32', offset } = values[operand.value]!;
  return { type, memory: 'value', place: `value at ${offset}` };
}
