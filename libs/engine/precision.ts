/** Precisions by name. bf16 and f16 are mixed precision, as assigned in libs/engine/native/value-types.ts. f16 needs loss scaling (loss-scaling.ts). */
export const precisions = ['fp32', 'bf16', 'f16'] as const;
export type Precision = (typeof precisions)[number];
