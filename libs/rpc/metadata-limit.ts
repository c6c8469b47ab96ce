/**
 * Limits the metadata of a call. HTTP/2 ends a call whose headers are too large without saying why, and implementations differ in what they allow
 * (most clients: 8 KiB; Node: 64 KiB). So both sides check a limit of their own first and name the largest entry.
 */
import type { Metadata } from '@grpc/grpc-js';
import { InvalidArgument, Violations } from '#errors/errors.js';

/** Largest total size of the metadata that a caller adds to a call, in bytes. */
export const maxMetadataBytes = 8 << 10;
/** What a server accepts: room for the headers that gRPC itself and proxies add. */
export const maxReceivedMetadataBytes = 2 * maxMetadataBytes;

/** HTTP/2 counts so many bytes for a header besides its name and value (RFC 9113, 6.5.2). */
const entryBytes = 32;

/** @throws InvalidArgument that names the largest entry */
export function checkMetadata(metadata: Metadata, maxBytes: number): void {
  let total = 0;
  let largest = { key: '', bytes: 0 };
  for (const [key, values] of Object.entries(metadata.toHttp2Headers())) {
    let bytes = 0;
    for (const value of [values].flat()) bytes += entryBytes + key.length + Buffer.byteLength(String(value));
    total += bytes;
    if (bytes > largest.bytes) largest = { key, bytes };
  }
  if (total <= maxBytes) return;
  const allowed = `shorter: the metadata of this call has ${total} bytes, at most ${maxBytes} are allowed`;
  throw new InvalidArgument(new Violations().add(`metadata.${largest.key}`, `${largest.bytes} bytes`, allowed).list);
}
