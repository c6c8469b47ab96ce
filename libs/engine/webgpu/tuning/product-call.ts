/** One matrix product as the tuner runs it: without an epilogue, since all epilogues have the same tiles. */
import { createHash } from 'node:crypto';
import type { ElementType } from '../../native/program-spec.js';
import { kernelFor } from '../kernels/index.js';
import type { DeviceCall, DeviceOperand, OperandReference } from '../kernels/kernel.js';
import { kindOf, type TiledProduct, type TileName, tiledProducts, tileNames, tunedTypes } from '../kernels/tile-shapes.js';

export interface ProductShape {
  /** Per sample. */
  rows: number;
  in: number;
  out: number;
  samples: number;
}

export interface ProductOperand extends DeviceOperand {
  reference: OperandReference;
  elements: number;
}

/** The operands, and the call that kernels are made of. */
export function productCall(
  product: TiledProduct,
  type: ElementType,
  shape: ProductShape,
  tile: TileName,
): { call: DeviceCall; operands: ProductOperand[] } {
  const { samples: chunkSamples, ...attributes } = shape;
  const operand = (reference: OperandReference, elements: number, memory: DeviceOperand['memory']): ProductOperand => {
    return { reference, elements, memory, place: reference, type: memory === 'value' ? type : 'fp32' };
  };
  const [narrow, wide] = [chunkSamples * shape.rows * shape.in, chunkSamples * shape.rows * shape.out];
  const weights = shape.in * shape.out;
  const operands = {
    linear: [operand('in.x', narrow, 'value'), operand('in.weight', weights, 'parameter'), operand('out.y', wide, 'value')],
    linear_input_grad: [operand('in.dy', wide, 'value'), operand('in.weight', weights, 'parameter'), operand('out.y', narrow, 'value')],
    linear_weight_grad: [operand('in.x', narrow, 'value'), operand('in.dy', wide, 'value'), operand('out.weight', weights, 'gradient')],
  }[product];
  const those = (kind: 'in' | 'out') =>
    Object.fromEntries(
      operands.filter(({ reference }) => reference.startsWith(kind)).map((one) => [one.reference.slice(kind.length + 1), one]),
    );
  const call = { kernel: product, attributes, inputs: those('in'), outputs: those('out'), draws: false, chunkSamples };
  return { call: { ...call, tiles: { [kindOf(product, type)]: tile } }, operands };
}

/** Digest of the shaders of every product with every tile. A choice holds as long as it does not change. */
export function productsDigest(): string {
  known ??= digestOfProducts();
  return known;
}

let known: string | undefined;

function digestOfProducts(): string {
  const hash = createHash('sha256');
  const shape = { rows: 256, in: 256, out: 256, samples: 8 };
  for (const product of tiledProducts)
    for (const type of tunedTypes)
      for (const tile of tileNames)
        for (const { code } of kernelFor(product)(productCall(product, type, shape, tile).call).dispatches) hash.update(code).update('\0');
  return hash.digest('hex').slice(0, 16);
}
