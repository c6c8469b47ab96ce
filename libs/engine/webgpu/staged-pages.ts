/** The pages of images that are on the device as bytes. Pages consist of whole words, so they hold a multiple of four rows. */
import { ALIGNMENT } from './bindings.js';

/** Most bytes of a page: what one binding and one buffer may hold. */
export const mostPageBytes = ({ bindingBytes, bufferBytes }: { readonly bindingBytes: number; readonly bufferBytes: number }): number =>
  Math.min(bindingBytes, bufferBytes) - ALIGNMENT;

export const rowsPerPage = (imageFloats: number, mostBytes: number): number => Math.max(4, 4 * Math.floor(mostBytes / (4 * imageFloats)));

/** The bytes of every page of so many images. */
export function pagesOf(samples: number, imageFloats: number, rows: number): number[] {
  return Array.from({ length: Math.ceil(samples / rows) }, (_, page) => Math.min(rows, samples - page * rows) * imageFloats);
}
