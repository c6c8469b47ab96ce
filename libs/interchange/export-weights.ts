/** A model's parameters for other programs: names of the reference or of timm, float32 or half floats. */
import type { Tensor } from '#storage/tensor.js';
import { float32ToBfloat16, float32ToFloat16 } from './half-floats.js';
import { InterchangeError } from './interchange-error.js';
import { type Convention, familyOf, toTimm } from './names/timm-names.js';

export const exportDtypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;
export type ExportDtype = keyof typeof exportDtypes;

/**
 * @param weights float32, our names; not copied where they stay float32
 * @param model its name: it decides where timm holds linear layers as convolutions
 * @throws InterchangeError for a finite value that float16 cannot hold
 */
export function exportWeights(weights: readonly Tensor[], model: string, convention: Convention, dtype: ExportDtype): Tensor[] {
  const family = familyOf(weights.map(({ name }) => name));
  return weights.map((tensor) => {
    if (tensor.dtype !== 'F32') throw new InterchangeError(`parameter ${tensor.name} is ${tensor.dtype}, must be F32`);
    const { name, shape } = convention === 'timm' ? toTimm(model, family, tensor) : tensor;
    return { name, shape, dtype: exportDtypes[dtype], data: convert(tensor.name, tensor.data as Float32Array<ArrayBuffer>, dtype) };
  });
}

function convert(name: string, values: Float32Array<ArrayBuffer>, dtype: ExportDtype): Tensor['data'] {
  if (dtype === 'float32') return values;
  if (dtype === 'bfloat16') return float32ToBfloat16(values);
  const bits = float32ToFloat16(values);
  for (let i = 0; i < bits.length; i++)
    if ((bits[i]! & 0x7fff) === 0x7c00 && Number.isFinite(values[i]))
      throw new InterchangeError(`parameter ${name} has the value ${values[i]}, float16 ends at 65504: use bfloat16 or float32`);
  return bits;
}
