/** CIFAR-10 and CIFAR-100 in their binary form: one or two label bytes, then 3 planes of 32 × 32 bytes. */
import type { RecordLayout } from '../manifest/manifest-header.js';

export class InvalidCifar extends Error {
  override readonly name = 'InvalidCifar';
  constructor(readonly why: string) {
    super(`not a CIFAR file: ${why}`);
  }
}

export const CIFAR_SIDE = 32;
const PIXELS = 3 * CIFAR_SIDE * CIFAR_SIDE;

interface CifarKind {
  readonly layout: RecordLayout;
  /** Which byte of a record is the label. */
  readonly labelByte: number;
  readonly files: { readonly train: readonly string[]; readonly val: readonly string[] };
  /** File with a class name a line. */
  readonly classesFile: string;
  readonly classes: readonly string[];
  /** Folder that the archive unpacks to. */
  readonly folder: string;
}

const planar = (labelBytes: number): RecordLayout => ({
  headerBytes: 0,
  recordBytes: labelBytes + PIXELS,
  pixelOffset: labelBytes,
  pixels: 'planar_rgb',
});

export const CIFAR: Readonly<Record<'cifar10' | 'cifar100', CifarKind>> = {
  cifar10: {
    layout: planar(1),
    labelByte: 0,
    files: { train: [1, 2, 3, 4, 5].map((k) => `data_batch_${k}.bin`), val: ['test_batch.bin'] },
    classesFile: 'batches.meta.txt',
    classes: ['airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck'],
    folder: 'cifar-10-batches-bin',
  },
  cifar100: {
    layout: planar(2),
    labelByte: 1, // the fine label; byte 0 is the coarse one
    files: { train: ['train.bin'], val: ['test.bin'] },
    classesFile: 'fine_label_names.txt',
    classes: Array.from({ length: 100 }, (_, label) => String(label)),
    folder: 'cifar-100-binary',
  },
};

/** The label of every record of a file. @throws InvalidCifar */
export function cifarLabels(bytes: Uint8Array, kind: 'cifar10' | 'cifar100'): Uint8Array {
  const { layout, labelByte, classes } = CIFAR[kind];
  const { recordBytes } = layout;
  if (bytes.byteLength === 0 || bytes.byteLength % recordBytes !== 0)
    throw new InvalidCifar(`${bytes.byteLength} bytes are not a number of records of ${recordBytes} bytes`);
  const labels = new Uint8Array(bytes.byteLength / recordBytes);
  for (let record = 0; record < labels.length; record++) {
    const label = bytes[record * recordBytes + labelByte] as number;
    if (label >= classes.length) throw new InvalidCifar(`label ${label} of record ${record}`);
    labels[record] = label;
  }
  return labels;
}

/** Three planes become interleaved RGB. */
export function interleave(planes: Uint8Array): Uint8Array {
  const pixels = planes.byteLength / 3;
  const rgb = new Uint8Array(planes.byteLength);
  for (let p = 0; p < pixels; p++) {
    rgb[3 * p] = planes[p] as number;
    rgb[3 * p + 1] = planes[pixels + p] as number;
    rgb[3 * p + 2] = planes[2 * pixels + p] as number;
  }
  return rgb;
}
