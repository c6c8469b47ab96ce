/** JSON as the commands and the reports write it. */

/** A replacer for JSON.stringify, which would write null for NaN and the infinities: "NaN", "Infinity", "-Infinity". */
export const anyNumber = (_key: string, value: unknown): unknown =>
  typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
