/**
 * Canonical JSON: object keys are in code-unit order, there is no white space, numbers are printed as ECMAScript does (the shortest text that reads
 * back equal), and undefined members are left out. Equal values have equal text on every machine, so the text can be hashed.
 */

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** @throws TypeError for NaN and infinities, which JSON does not have */
export function canonicalJson(value: Json): string {
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`canonical JSON cannot hold ${value}`);
    return JSON.stringify(value);
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.keys(value)
    .sort()
    .flatMap((key) => {
      const member = value[key];
      return member === undefined ? [] : [`${JSON.stringify(key)}:${canonicalJson(member)}`];
    });
  return `{${members.join(',')}}`;
}

const isList = (value: Json & object): value is readonly Json[] => Array.isArray(value);
