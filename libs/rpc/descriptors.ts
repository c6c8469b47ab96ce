/** The descriptors of all protos, as `buf build -o libs/protocol/descriptors.binpb` has written them. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Seen from the sources, and from compiled code in dist/libs/rpc. */
const places = ['../protocol/descriptors.binpb', '../../../libs/protocol/descriptors.binpb'];

/** A google.protobuf.FileDescriptorSet with every imported file and all comments. */
export function readDescriptors(): Buffer {
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const path = paths.find((p) => existsSync(p));
  if (path === undefined) throw new Error(`no descriptors at ${paths.join(' or ')}: run npm run generate`);
  return readFileSync(path);
}
