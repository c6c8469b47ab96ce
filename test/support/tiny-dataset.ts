/**
 * A data set that a small model learns in seconds: ten classes of striped images (angle and width by class) with noise, as IDX files
 * (the MNIST family's format) in a folder of the test. A pure function of its arguments.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { philoxBlock } from '#random/philox.js';

/** Writes train and test images of `size` × `size` gray pixels; returns the folder. */
export function writeTinyDataset(folder: string, { train = 512, test = 100, size = 28, classes = 10 } = {}): string {
  mkdirSync(folder, { recursive: true });
  write(folder, 'train', train, size, classes, 1);
  write(folder, 't10k', test, size, classes, 2);
  return folder;
}

function write(folder: string, split: string, count: number, size: number, classes: number, purpose: number): void {
  const images = Buffer.alloc(16 + count * size * size);
  images.writeUInt32BE(0x00000803, 0);
  images.writeUInt32BE(count, 4);
  images.writeUInt32BE(size, 8);
  images.writeUInt32BE(size, 12);
  const labels = Buffer.alloc(8 + count);
  labels.writeUInt32BE(0x00000801, 0);
  labels.writeUInt32BE(count, 4);
  const noise = new Uint32Array(4);
  for (let i = 0; i < count; i++) {
    const label = i % classes;
    const angle = (Math.PI * label) / classes;
    labels[8 + i] = label;
    for (let p = 0; p < size * size; p++) {
      if (p % 4 === 0) philoxBlock(noise, { k0: 7, k1: purpose }, p >>> 2, i, 0, 0);
      const along = Math.cos(angle) * (p % size) + Math.sin(angle) * Math.floor(p / size);
      images[16 + i * size * size + p] = Math.round(96 + 60 * Math.sin(along * 0.9) + (80 * noise[p % 4]!) / 2 ** 32);
    }
  }
  writeFileSync(join(folder, `${split}-images-idx3-ubyte`), images);
  writeFileSync(join(folder, `${split}-labels-idx1-ubyte`), labels);
}
