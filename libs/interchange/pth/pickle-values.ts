/** What a pickle of tensors may hold, as data. Containers may contain themselves: walk them only to a fixed depth. */
import type { Dtype, TensorData } from '#storage/tensor.js';

/** Integers beyond 2^53 are bigint; strings that are bytes in Python are Uint8Array. */
export type PickleScalar = null | boolean | number | bigint | string;
export type PickleValue =
  | PickleScalar
  | Uint8Array
  | PickleList
  | PickleTuple
  | PickleDict
  | PickleNamespace
  | PickleStorage
  | PickleTensor
  | PickleArray
  | PickleOpaque;

export class PickleList {
  readonly items: PickleValue[] = [];
}

export class PickleTuple {
  constructor(readonly items: readonly PickleValue[]) {}
}

/** A dict or an OrderedDict. */
export class PickleDict {
  readonly entries = new Map<PickleScalar, PickleValue>();
}

/** argparse.Namespace: its fields. */
export class PickleNamespace {
  readonly fields = new Map<PickleScalar, PickleValue>();
}

/** Elements in a zip entry of the same file. */
export class PickleStorage {
  constructor(
    readonly dtype: Dtype,
    /** The entry is `<archive>/data/<key>`. */
    readonly key: string,
    readonly elements: number,
  ) {}
}

/** A view of a storage; offset and strides count elements. */
export class PickleTensor {
  constructor(
    readonly storage: PickleStorage,
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** An array of numpy, whole in the pickle. */
export class PickleArray {
  constructor(
    readonly dtype: Dtype,
    readonly shape: readonly number[],
    /** In row-major order. */
    readonly data: TensorData,
  ) {}
}

/** What a Python name made of its arguments. It is not known here and never will be: the name is not looked up, and nothing is called. */
export class PickleOpaque {
  constructor(readonly name: string) {}
}
