/** The matrix products that models compute in a step: their shapes, and how often each is computed. */
import type { Pieces } from '#bounds/pieces.js';
import { chunkSamples } from '#graph/plan.js';
import { traceInPieces } from '#graph/trace.js';
import { modelConfig } from '#nn/models/registry.js';
import { lowerInPieces } from '../../native/lower.js';
import type { Precision } from '../../precision.js';
import { ALIGNMENT_FLOATS, multipliedType, planCalls } from '../calls.js';
import { isTiledProduct, kindOf, type ProductKind, productSizes } from '../kernels/tile-shapes.js';
import type { ProductShape } from './product-call.js';
import type { ProductsToTime, TimedShape } from './product-times.js';

export interface TunedModel {
  name: string;
  imageSize: number;
}

const CHANNELS = 3;
const CLASSES = 1000;
/** Of one kind of product, those shapes are timed that take the most arithmetic; the others are few and small. */
const MOST_SHAPES = 8;

/** By kind of product. `batch`: samples of a micro-batch, which a program splits into chunks. @throws UnknownModel */
export function* productsOf(models: readonly TunedModel[], precisions: readonly Precision[], batch: number): Pieces<ProductsToTime[]> {
  const found = new Map<ProductKind, ProductsToTime & { shapes: TimedShape[] }>();
  for (const { name, imageSize } of models) {
    const graph = yield* traceInPieces(modelConfig(name, { imageSize, classes: CLASSES }), {
      channels: CHANNELS,
      imageSize,
      classes: CLASSES,
    });
    const samples = chunkSamples(graph, batch);
    for (const precision of precisions) {
      const spec = yield* lowerInPieces(graph, samples, { precision, alignmentFloats: ALIGNMENT_FLOATS });
      const calls = [...(yield* planCalls(spec, spec.forward)), ...(yield* planCalls(spec, spec.backward))];
      for (const call of calls) {
        const { kernel: product, attributes } = call.instruction;
        if (!isTiledProduct(product)) continue;
        const type = multipliedType(spec, call);
        const kind = kindOf(product, type);
        const { shapes } = found.get(kind) ?? { shapes: [] };
        found.set(kind, { product, type, shapes });
        count(shapes, { ...sizesOf(attributes), samples });
      }
    }
  }
  return [...found.values()]
    .map((one) => ({ ...one, shapes: one.shapes.sort((a, b) => work(one, b) - work(one, a)).slice(0, MOST_SHAPES) }))
    .sort((a, b) => (a.type === b.type ? a.product.localeCompare(b.product) : a.type < b.type ? 1 : -1));
}

const sizesOf = ({ rows = 1, in: inputs = 1, out = 1 }: Readonly<Record<string, number>>) => ({ rows, in: inputs, out });

function count(shapes: TimedShape[], shape: ProductShape): void {
  const same = shapes.find(
    (one) => one.rows === shape.rows && one.in === shape.in && one.out === shape.out && one.samples === shape.samples,
  );
  if (same === undefined) shapes.push({ ...shape, calls: 1 });
  else same.calls++;
}

/** Multiplications and additions of all calls of a shape. */
export function work({ product }: Pick<ProductsToTime, 'product'>, shape: TimedShape): number {
  const { m, n, k } = productSizes(product, shape, shape.samples);
  return 2 * m * n * k * shape.calls;
}
