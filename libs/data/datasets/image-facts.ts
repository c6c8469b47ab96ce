/** What a manifest says of an image's bytes. */
import { createHash } from 'node:crypto';
import { checkImage } from '#native/pixels/check-image.js';

export interface ImageFacts {
  /** Pixels. */
  readonly width: number;
  readonly height: number;
  readonly sha256: Uint8Array;
}

/** Larger files are not read. */
export const MAX_IMAGE_BYTES = 512 << 20;

/** @throws when it cannot be decoded for what its header says, or was cut */
export function imageFacts(bytes: Uint8Array): ImageFacts {
  const { width, height } = checkImage(bytes);
  return { width, height, sha256: createHash('sha256').update(bytes).digest() };
}
