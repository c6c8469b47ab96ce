/** The nodes of a graph as kernel calls with named operands. The passes of lowering rewrite them before they are put into a kernel's order. */
import type { Graph, Node } from '#graph/graph.js';
import type { KernelName, Slot } from '#native/kernel-operands.js';
import { elements } from '#nn/tensor.js';
import { kernelOf } from '../native/kernel-table.js';
import type { ElementType, Operand } from '../native/program-spec.js';

export interface KernelCall {
  readonly kernel: KernelName;
  readonly domain: number;
  /** Operands by the names in the kernel table. */
  readonly inputs: Readonly<Record<string, Operand>>;
  readonly outputs: Readonly<Record<string, Operand>>;
  readonly attributes: Readonly<Record<string, number>>;
  readonly site?: number;
  /** The input whose memory `y` may reuse if nothing reads that input later. */
  readonly inPlace?: string;
}

/** A value of the program. The graph's values come first, in the graph's order, and then those that a pass adds. */
export interface LoweredValue {
  readonly elementsPerSample: number;
  readonly domain: number;
  type: ElementType;
}

/** The calls of a program, in order. */
export interface Passes {
  readonly forward: readonly KernelCall[];
  readonly backward: readonly KernelCall[];
}

export function valuesOf(graph: Graph): LoweredValue[] {
  return graph.values.map(({ shape, domain }) => ({ elementsPerSample: elements(shape), domain, type: 'fp32' }));
}

export function callOf(node: Node): KernelCall {
  const { operation, domain, site } = node;
  const entry = kernelOf(operation.name);
  return {
    kernel: entry.kernel,
    domain,
    inputs: named(entry.inputs, (slot) => node.inputs[slot.name]),
    outputs: named(entry.outputs, (slot) => resultOf(node, slot)),
    attributes: node.attributes,
    ...(site && { site: site.index }),
    ...(operation.inPlace !== undefined && { inPlace: operation.inPlace }),
  };
}

function resultOf(node: Node, { name, gradient }: Slot): Operand | undefined {
  if (gradient) {
    const grad = node.gradients[name];
    return grad === undefined ? undefined : { grad };
  }
  const value = name === 'y' ? node.result : node.saved[name];
  return value === undefined ? undefined : { value };
}

function named(slots: readonly Slot[], operand: (slot: Slot) => Operand | undefined): Record<string, Operand> {
  return Object.fromEntries(
    slots.flatMap((slot) => {
      const found = operand(slot);
      return found === undefined ? [] : [[slot.name, found]];
    }),
  );
}

/** The slots of a call that hold a value, with the value's index. */
export function valueSlots(call: KernelCall): { slot: Slot; value: number; written: boolean }[] {
  const { inputs, outputs } = kernelOf(call.kernel);
  return [...inputs, ...outputs].flatMap((slot, at) => {
    const written = at >= inputs.length;
    const operand = (written ? call.outputs : call.inputs)[slot.name];
    return operand !== undefined && 'value' in operand ? [{ slot, value: operand.value, written }] : [];
  });
}

export const valueIn = (operand: Operand | undefined): number | undefined =>
  operand !== undefined && 'value' in operand ? operand.value : undefined;

export const writtenBy = (call: KernelCall): number[] => valueSlots(call).flatMap(({ value, written }) => (written ? [value] : []));
export const readBy = (call: KernelCall): number[] => valueSlots(call).flatMap(({ value, written }) => (written ? [] : [value]));

/** The call with some values replaced by others. */
export function renamed(call: KernelCall, names: ReadonlyMap<number, number>): KernelCall {
  const rename = (operands: Readonly<Record<string, Operand>>) =>
    Object.fromEntries(
      Object.entries(operands).map(([name, operand]) => [
        name,
        'value' in operand ? { value: names.get(operand.value) ?? operand.value } : operand,
      ]),
    );
  return { ...call, inputs: rename(call.inputs), outputs: rename(call.outputs) };
}

/** The calls without optional results that neither they nor `later` read, such as the slope of a GELU. */
export function withoutUnread(calls: readonly KernelCall[], later: readonly KernelCall[] = []): KernelCall[] {
  const read = new Set([...calls, ...later].flatMap(readBy));
  return calls.map((call) => {
    const optional = new Set(kernelOf(call.kernel).outputs.flatMap(({ name, optional }) => (optional ? [name] : [])));
    const outputs = Object.entries(call.outputs).filter(
      ([name, operand]) => !optional.has(name) || !('value' in operand) || read.has(operand.value),
    );
    return { ...call, outputs: Object.fromEntries(outputs) };
  });
}
