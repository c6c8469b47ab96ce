/** Server reflection and health, so that grpcurl and grpc-health-probe need nothing but the address. */
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadFileDescriptorSetFromBuffer, loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { protoPath as healthProto } from 'grpc-health-check';

/** `buf build -o libs/protocol/descriptors.binpb`; compiled code finds it from dist/libs/rpc. */
const places = ['../protocol/descriptors.binpb', '../../../libs/protocol/descriptors.binpb'];

/** Reflection of all our protos, narrowed to the services that this server has. */
export function reflectionOf(serviceNames: readonly string[]): ReflectionService {
  const options = { keepCase: true };
  const definition: PackageDefinition = {
    ...loadSync(healthProto, options),
    ...loadFileDescriptorSetFromBuffer(readDescriptors(), options),
  };
  return new ReflectionService(definition, { services: [...serviceNames, 'grpc.health.v1.Health'] });
}

function readDescriptors(): Buffer {
  const paths = places.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const path = paths.find((p) => existsSync(p));
  if (path === undefined) throw new Error(`no descriptors for reflection at ${paths.join(' or ')}: run npm run generate`);
  return readFileSync(path);
}
