/** The services and messages of the protos, read from their descriptors: nothing here is generated for single methods. */
import { createFileRegistry, type DescMethod, type DescService, type FileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { readDescriptors } from '#rpc/descriptors.js';

/** The services behind the gateway. */
export const backends = ['data', 'scheduler', 'trainer', 'evaluator'] as const;
export type Backend = (typeof backends)[number];

/** Which of them serves a service of the protos. The trainer's scaler answers for all parts that it needs; that of the scheduler has to be told of it. */
const backendOf: Readonly<Record<string, Backend>> = {
  'dropstream.v1.DataService': 'data',
  'dropstream.v1.SchedulerService': 'scheduler',
  'dropstream.v1.TrainerService': 'trainer',
  'dropstream.v1.EvaluatorService': 'evaluator',
  'externalscaler.ExternalScaler': 'trainer',
};

export const healthService = 'grpc.health.v1.Health';

export interface Protos {
  readonly registry: FileRegistry;
  /** Those that the gateway serves, in the order of their names. */
  readonly services: readonly DescService[];
}

export function readProtos(): Protos {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, readDescriptors()));
  const services = [...Object.keys(backendOf), healthService].sort().map((name) => {
    const found = registry.getService(name);
    if (found === undefined) throw new Error(`the descriptors have no service ${name}`);
    return found;
  });
  return { registry, services };
}

/** The backend of a service of the protos; that of a health check is the one of the service that it asks about. */
export function backendOfService(name: string): Backend | undefined {
  return Object.hasOwn(backendOf, name) ? backendOf[name] : undefined;
}

/** e.g. `dropstream.v1.SchedulerService/GetRates`. */
export const methodName = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`;

export const isStream = (method: DescMethod): boolean => method.methodKind === 'server_streaming';
