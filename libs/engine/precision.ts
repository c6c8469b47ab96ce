/** Precisions by name. bf16: mixed, as libs/engine/native/value-types.ts assigns it. */
export const precisions = ['fp32', 'bf16'] as const;
export type Precision = (typeof precisions)[number];
