/**
 * The type of a message in protobuf's JSON, made from the type that ts-proto generates: 64-bit numbers, times and bytes are strings, enums are the
 * names of their values, a oneof is the field that is set, and a field with its default may be absent.
 */
export type Json<T> = T extends bigint | Date | Uint8Array
  ? string
  : T extends string | boolean
    ? T
    : T extends number
      ? 0.5 extends T // No value of an enum, of which `number` is a subtype for TypeScript.
        ? number
        : string
      : T extends readonly (infer Item)[]
        ? readonly Json<Item>[]
        : JsonMessage<T>;

type JsonMessage<T> = {
  readonly [K in keyof T as NonNullable<T[K]> extends OneOf ? never : K]?: Json<NonNullable<T[K]>> | undefined;
} & { readonly [C in Cases<T> as C['$case']]?: Json<C['value']> | undefined };

interface OneOf {
  readonly $case: string;
  readonly value: unknown;
}
type Cases<T> = { [K in keyof T]: NonNullable<T[K]> extends OneOf ? NonNullable<T[K]> : never }[keyof T];

/** A number of JSON: 64-bit numbers are strings there, and so are NaN and the infinities. An absent one is 0. */
export const num = (value: number | string | undefined): number => (value === undefined ? 0 : Number(value));
