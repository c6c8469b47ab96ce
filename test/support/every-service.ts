/** All four services and the scaler on one server whose handlers do nothing, for what must hold of every call before it reaches them. */
import type { ServiceDefinition } from '@grpc/grpc-js';
import type { Identify } from '#auth/identity.js';
import { DataServiceService } from '#protocol/dropstream/v1/data.js';
import { EvaluatorServiceService } from '#protocol/dropstream/v1/evaluator.js';
import { GroupServiceService } from '#protocol/dropstream/v1/group.js';
import { SchedulerServiceService } from '#protocol/dropstream/v1/scheduler.js';
import { TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import { ExternalScalerService } from '#protocol/externalscaler/externalscaler.js';
import { serverStream, service, unary } from '#rpc/handlers.js';
import type { NamesDeclaration } from '#rpc/request-names.js';
import { createServer, type RpcServer } from '#rpc/server.js';
import type { ServerTls } from '#rpc/tls/read-tls.js';
import { scalerNames } from '#scaling/request-names.js';
import { silentLogger } from '#telemetry/logger.js';
import { createRegistry } from '#telemetry/metrics.js';
import { dataNames } from '../../services/data/request-names.js';
import { evaluatorNames } from '../../services/evaluator/api/request-names.js';
import { schedulerNames } from '../../services/scheduler/request-names.js';
import { trainerNames } from '../../services/trainer/api/request-names.js';
import { groupNames } from '../../services/trainer/worker/group/group-handlers.js';

export const everyService: readonly {
  readonly name: string;
  readonly definition: ServiceDefinition;
  readonly names: Readonly<Record<string, NamesDeclaration>>;
}[] = [
  { name: 'DataService', definition: DataServiceService, names: dataNames },
  { name: 'EvaluatorService', definition: EvaluatorServiceService, names: evaluatorNames },
  { name: 'SchedulerService', definition: SchedulerServiceService, names: schedulerNames },
  { name: 'TrainerService', definition: TrainerServiceService, names: trainerNames },
  { name: 'GroupService', definition: GroupServiceService, names: groupNames },
  { name: 'ExternalScaler', definition: ExternalScalerService, names: scalerNames },
];

/** To be started and closed by the caller. Every call that reaches its handler fails with `reached`. */
export function serverOfEveryService(reached: Error, identify?: Identify, tls?: ServerTls): RpcServer {
  const fail = (): never => {
    throw reached;
  };
  return createServer({
    services: everyService.map(({ definition, names }) => {
      const handlers = Object.entries(definition).map(([key, { responseStream }]) => [
        key,
        responseStream ? serverStream(fail) : unary(fail),
      ]);
      return service(definition, names as never, Object.fromEntries(handlers) as never);
    }),
    registry: createRegistry({ service: 'test', version: '0', process: false }),
    logger: silentLogger(),
    ...(identify && { identify }),
    ...(tls && { tls }),
  });
}
