/** Server reflection and health, so that grpcurl and grpc-health-probe only need the address. */
import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { readDescriptors } from './descriptors.js';

/** Reflection of the project's protos and of health, limited to the services of this server. */
export function reflectionOf(serviceNames: readonly string[]): ReflectionService {
  // proto-loader would join the files of a package and lose the imports between them, so grpcurl could not resolve those. Reflection only reads
  // `fileDescriptorProtos`, so it gets the files of the descriptor set as buf wrote them.
  const ours = { fileDescriptorProtos: splitSet(readDescriptors()) } as unknown as PackageDefinition[string];
  return new ReflectionService({ ours }, { services: [...serviceNames, 'grpc.health.v1.Health'] });
}

/** The files of a google.protobuf.FileDescriptorSet: its field 1, repeated. */
function splitSet(set: Uint8Array): Buffer[] {
  const reader = new BinaryReader(set);
  const files: Buffer[] = [];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) files.push(Buffer.from(reader.bytes()));
    else reader.skip(wireType);
  }
  return files;
}
