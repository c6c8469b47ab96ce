/** What another service's scaler says about a part, for services that answer for parts of others. */
import { ExternalScalerClient, type ExternalScalerService } from '#protocol/externalscaler/externalscaler.js';
import { type ConnectOptions, connect, type TypedClient } from '#rpc/client.js';
import type { WantedOf } from './scaler.js';

export type ScalerClient = TypedClient<typeof ExternalScalerService>;

/** Milliseconds that an answer may take; less than a look of the one who asks. */
const askMs = 5000;

/** The caller closes it. */
export function connectScaler(address: string, options: ConnectOptions): ScalerClient {
  return connect(ExternalScalerClient, address, options);
}

/** Asks another scaler each time. The limit of replicas is kept by the one who asks. */
export function askScaler(client: ScalerClient): WantedOf {
  return async ({ part, metric, targetPerReplica }, signal) => {
    const scalerMetadata = { part, targetPerReplica: String(targetPerReplica) };
    const scaledObjectRef = { name: '', namespace: '', scalerMetadata };
    const { metricValues } = await client.getMetrics({ scaledObjectRef, metricName: metric }, { signal, timeoutMs: askMs });
    return metricValues[0]?.metricValueFloat ?? 0;
  };
}
