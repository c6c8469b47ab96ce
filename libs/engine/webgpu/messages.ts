/** What the event loop's thread (program.ts) and the device's thread (device-worker.ts) say to each other. */
import type { Initializer } from '#nn/tensor.js';
import type { EvaluationOutput, Leaf, LeafOutput, MicroBatch, OptimizerScalars, StateName, UpdateOutput } from '../executable.js';
import type { Subtree } from '../gradient-tree.js';
import type { ProgramSpec } from '../native/program-spec.js';
import type { CallTimes } from './call-times.js';
import type { AdapterDescription } from './device.js';
import type { TileName, Tiles } from './kernels/tile-shapes.js';
import type { Settings } from './settings.js';
import type { StagedPart } from './staged-images.js';
import type { ProductsToTime, TileTime } from './tuning/product-times.js';

/** What the thread is started with. Without a spec it only describes the adapter and ends. */
export interface Start {
  settings: Settings;
  spec?: ProgramSpec;
  /** The tiles of the program's matrix products. */
  tiles?: Tiles;
  /** Without a spec: sizes of buffers in bytes, of which the thread says whether the device has memory for all. */
  buffers?: readonly number[];
  /** Without a spec: products to time with every tile. */
  products?: readonly ProductsToTime[];
  /** What the thread must see at once, or after the process has stopped handling messages. */
  flags: Int32Array;
}

/** Incremented by every cancel. */
export const FLAG_TICKET = 0;
/** 1 when the program is disposed of. */
export const FLAG_DISPOSED = 1;
/** Whether the thread parks, and when. */
export const FLAG_PARK = 2;
/** The process exits: as soon as the thread can be ended. */
export const PARK_AT_REST = 1;
/** The process has given the thread up. */
export const PARK_AT_ONCE = 2;
/** 1 while the thread makes no call of Dawn and waits for none: it can be ended. */
export const FLAG_RESTS = 3;
export const newFlags = (): Int32Array => new Int32Array(new SharedArrayBuffer(16));

/** Images and targets stay where they are until the device asks for them, unless the images are staged on it. */
export interface BatchHead extends Omit<MicroBatch, 'images' | 'targets'> {
  staged?: { batch: number; targets: Float32Array };
}

export type Call =
  | { kind: 'accumulate'; leaf: Omit<Leaf, 'microBatches'> & { microBatches: BatchHead[] } }
  | { kind: 'update'; optimizer: OptimizerScalars | undefined }
  | { kind: 'evaluate'; batch: BatchHead; state: 'weights' | 'ema' }
  | { kind: 'readSubtree'; subtree: Subtree }
  | { kind: 'writeSubtree'; subtree: Subtree; leaves: number }
  | { kind: 'initialize'; initializers: readonly Initializer[]; seed: bigint }
  | { kind: 'read' | 'write'; state: StateName; parameters: number[] }
  | { kind: 'dispose' };

export type Result = LeafOutput | UpdateOutput | EvaluationOutput | undefined;

/** `length` floats of the call's array `array`, from `begin` on, are at `at` of the piece that is sent. */
export interface Copy {
  array: number;
  begin: number;
  at: number;
  length: number;
}

/** Samples [first, first + samples) of a micro-batch, or a piece of parameters. */
export type Piece = { batch: number; first: number; samples: number } | { floats: number; copies: Copy[] };

export type ToDevice =
  | { kind: 'call'; id: number; ticket: number; call: Call }
  /** Handled at once, beside the running call. `staged` answers. */
  | ({ kind: 'stage' } & StagedPart)
  | { kind: 'release'; batch: number }
  /** Whether the calls from now on are timed. */
  | { kind: 'record'; on: boolean }
  /** Answers ask and give, which wait for it. */
  | { kind: 'answer'; data: ArrayBuffer[] };

export type FromDevice =
  | { kind: 'described'; adapter: AdapterDescription; granted: boolean }
  /** A tile is about to be compiled or timed. */
  | { kind: 'timing'; product: number; tile: TileName }
  /** How long the tiles of a product took. */
  | { kind: 'timed'; product: number; times: TileTime[] }
  /** `times`: whether calls can be timed. */
  | { kind: 'ready'; memoryBytes: number; times: boolean }
  | { kind: 'ask'; id: number; piece: Piece }
  | { kind: 'give'; id: number; copies: Copy[]; data: ArrayBuffer }
  | { kind: 'staged'; batch: number; memoryBytes: number; failure?: { name: string; message: string } }
  | { kind: 'done'; id: number; result: Result; memoryBytes: number; times?: CallTimes | undefined }
  /** Without an id: the thread could not start, or has lost the device. */
  | { kind: 'failed'; id?: number; name: string; message: string };
