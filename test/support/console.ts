/** All services with the gateway, and runs to look at. */
import { fileURLToPath } from 'node:url';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect } from '#rpc/client.js';
import { demoSpec } from '../../services/cli/demo/demo-spec.js';
import type { StartAllOptions } from '../../services/cli/up/start-all.js';
import { type LocalServices, startLocalServices } from './local-services.js';

export interface ConsoleSystem extends LocalServices {
  /** http://host:port of the gateway. */
  readonly url: string;
  createRun(runId: string, options?: Partial<RunSpec>, labels?: Record<string, string>): Promise<void>;
}

/** Whoever starts it stops it. `options`: e.g. another store than a folder, or further arguments of services. */
export async function startConsoleSystem(options: Partial<StartAllOptions> = {}): Promise<ConsoleSystem> {
  // The services run from the sources, which their threads find from here only.
  const cwd = fileURLToPath(new URL('../..', import.meta.url));
  const system = await startLocalServices({ perClass: 60, gateway: true, cwd, ...options });
  const trainer = connect(TrainerServiceClient, system.of('trainer').address);
  const { url } = system.services.state.gateway!;
  const spec = demoSpec({
    epochs: 3,
    samples: 480,
    trainManifest: system.train.sha256,
    evalManifest: system.test.sha256,
    holdoutStride: 0,
  });
  return {
    ...system,
    url,
    createRun: async (runId, options = {}, labels = {}) => {
      const request = {
        parent: 'projects/default',
        runId,
        spec: RunSpec.fromPartial({ ...spec, ...options }),
        requestId: '',
        validateOnly: false,
        labels,
      };
      await trainer.createRun(request, { timeoutMs: 30_000 });
    },
    stop: async () => {
      trainer.close();
      await system.stop();
    },
  };
}
