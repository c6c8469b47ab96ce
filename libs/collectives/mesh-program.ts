/**
 * What a mesh executes on a thread of its own: transfers and sums in one order. A program is data that can be checked and executed without Gloo; the addon
 * (native/mesh-program.h) executes it and decides nothing.
 */

/** A position in one of the arrays that the program is executed with. */
export interface Place {
  /** Index of the array, or SCRATCH. */
  readonly array: number;
  readonly offset: number;
}

/** Memory that is the program's own. What it contains at first is undefined. */
export const SCRATCH = -1;

export type Instruction =
  /** Begin a transfer. It and its peer's other side meet by tag and count, in the order of those with the same ones. */
  | { readonly kind: 'receive' | 'send'; readonly peer: number; readonly tag: number; readonly place: Place; readonly count: number }
  /** Wait until a transfer has ended; transfers are counted in the order in which they begin. At the end, a program waits for all. */
  | { readonly kind: 'wait'; readonly transfer: number }
  /** into = left + right; `into` may be one of them. */
  | { readonly kind: 'add'; readonly into: Place; readonly left: Place; readonly right: Place; readonly count: number }
  | { readonly kind: 'copy'; readonly into: Place; readonly from: Place; readonly count: number };

export interface MeshProgram {
  readonly instructions: readonly Instruction[];
  /** Floats of scratch memory. */
  readonly scratch: number;
  /** What sums do with numbers below the smallest normal one (see ExchangePlan). */
  readonly subnormals: 'flush' | 'keep';
}

/** Tags below are for those who use a mesh; from here on, they are for the exchange and for copies of states. */
export const FIRST_OWN_TAG = 2 ** 30;

/** Floats of one transfer at most: what a time-out without progress is measured by. */
export const MOST_FLOATS = 2 ** 18;

/** The pieces [begin, end) of a range, none larger than MOST_FLOATS. */
export function pieces(begin: number, end: number, most: number = MOST_FLOATS): { at: number; count: number }[] {
  return Array.from({ length: Math.ceil((end - begin) / most) }, (_, index) => {
    const at = begin + index * most;
    return { at, count: Math.min(most, end - at) };
  });
}

/** The addon's form: eight numbers for each instruction; scratch memory is the array after the last one. */
export function encodeProgram({ instructions }: MeshProgram, arrays: number): Float64Array {
  const code = new Float64Array(8 * instructions.length);
  const put = (at: number, { array, offset }: Place) => code.set([array === SCRATCH ? arrays : array, offset], at);
  for (const [index, one] of instructions.entries()) {
    const at = 8 * index;
    switch (one.kind) {
      case 'receive':
      case 'send':
        code[at] = one.kind === 'receive' ? 0 : 1;
        put(at + 1, one.place);
        code.set([one.count, one.peer, one.tag], at + 3);
        break;
      case 'wait':
        code.set([2, one.transfer], at);
        break;
      case 'add':
        code[at] = 3;
        put(at + 1, one.into);
        code[at + 3] = one.count;
        put(at + 4, one.left);
        put(at + 6, one.right);
        break;
      case 'copy':
        code[at] = 4;
        put(at + 1, one.into);
        code[at + 3] = one.count;
        put(at + 4, one.from);
        break;
    }
  }
  return code;
}
