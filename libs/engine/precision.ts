/** Precisions by name. bf16 is mixed precision, as assigned in libs/engine/native/value-types.ts. */
export const precisions = ['fp32', 'bf16'] as const;
export type Precision = (typeof precisions)[number];
