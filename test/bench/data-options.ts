/** What `npm run bench:data` measures: one line of options. */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { numberOf, UsageError } from './training-case.js';

/** The rows of the benchmark, in their order. */
export const ROWS = ['decode', 'augment', 'finish', 'evaluate', 'mix', 'grpc', 'training'] as const;
export type Row = (typeof ROWS)[number];

export const usage = `npm run bench:data -- --images DIR [options]

  --images DIR       JPEGs, searched recursively
  --workers N        threads that decode, cores that a loader may use (default 1)
  --cases LIST       of ${ROWS.join(',')} (default all)
  --count N          the first N images are used (default 512)
  --batch N          images of a batch (default 128)
  --precision NAME   of training: fp32 or bf16 (default fp32)
  --seconds N        length of a block (default 5)
  --peer             measure Pillow, Pillow-SIMD and torchvision v2 in turns with ours: blocks A B B A

  decode             decode, RandomResizedCrop 224 (bicubic, antialiased), flip: uint8
  augment            the same and RandAugment rand-m9-mstd0.5-inc1: uint8
  finish             the same, normalised, erased (0.25, noise): float32
  evaluate           decode, resize 256, centre crop 224: uint8
  mix                milliseconds to normalise and mix a batch of 128 images to float32, and to bfloat16; the peer (timm) collates and mixes uint8
  training           milliseconds an image of training vit_tiny with one replica on the same cores (all of the machine), over training alone
                     and decoding alone (the plan of finish) together; at most 1.05 is wanted
  grpc               case decode from files through 1 and 2 replicas of the data service, over the same in this process

Rows but grpc run in a process pinned to N cores (where taskset exists), as the peer's do. DROPSTREAM_PEERS_VENV names the peer's virtual
environment, DROPSTREAM_PILLOW_SIMD a folder with Pillow-SIMD's PIL. Nothing else should run meanwhile. The last line is one JSON object.`;

export interface DataBenchOptions {
  readonly images: string;
  readonly workers: number;
  readonly rows: readonly Row[];
  readonly count: number;
  readonly batch: number;
  readonly seconds: number;
  readonly peer: boolean;
  readonly precision: string;
}

/** @throws UsageError */
export function dataBenchOptions(args: string[]): DataBenchOptions {
  let values: Record<string, string | boolean | undefined>;
  try {
    const text = { type: 'string' } as const;
    const options = {
      images: text,
      workers: text,
      cases: text,
      count: text,
      batch: text,
      seconds: text,
      precision: text,
      peer: { type: 'boolean' },
    } as const;
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const count = (option: string, otherwise: number, most: number) =>
    numberOf(
      option,
      String(values[option] ?? otherwise),
      `whole numbers from 1 to ${most}`,
      (n) => Number.isInteger(n) && n >= 1 && n <= most,
    );
  if (typeof values.images !== 'string') throw new UsageError('--images: a folder of JPEGs is needed');
  const precision = String(values.precision ?? 'fp32');
  if (!['fp32', 'bf16'].includes(precision)) throw new UsageError(`--precision: ${precision} is not one of fp32, bf16`);
  const rows = String(values.cases ?? ROWS.join(',')).split(',') as Row[];
  const unknown = rows.find((row) => !ROWS.includes(row));
  if (unknown !== undefined) throw new UsageError(`--cases: ${JSON.stringify(unknown)} is not one of ${ROWS.join(', ')}`);
  return {
    images: values.images,
    workers: count('workers', 1, availableParallelism()),
    rows: ROWS.filter((row) => rows.includes(row)),
    count: count('count', 512, 100_000),
    batch: count('batch', 128, 4096),
    seconds: numberOf('seconds', String(values.seconds ?? 5), '0.5 to 600', (n) => n >= 0.5 && n <= 600),
    peer: values.peer === true,
    precision,
  };
}
