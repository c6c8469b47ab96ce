/** KEDA's external scaler: the handlers, and what they answer. docs/operating.md says how it is used. */
import { invalid } from '#errors/errors.js';
import {
  ExternalScalerService,
  type GetMetricSpecResponse,
  type GetMetricsResponse,
  type ScaledObjectRef,
} from '#protocol/externalscaler/externalscaler.js';
import { type BoundService, service, unary, watchStream } from '#rpc/handlers.js';
import { scalerNames } from './request-names.js';
import { parseScaled } from './scaled-part.js';
import type { Scaler } from './scaler.js';

export function externalScaler(scaler: Scaler): BoundService {
  return service(ExternalScalerService, scalerNames, {
    isActive: unary(async (request, { signal }) => ({ result: (await scaler.wanted(parseScaled(request), signal)) > 0 })),

    streamIsActive: watchStream(async function* (request, { signal }) {
      for await (const result of scaler.isActive(parseScaled(request), signal)) yield { result };
    }),

    getMetricSpec: unary((request) => specOf(request)),

    getMetrics: unary(async ({ scaledObjectRef, metricName }, { signal }): Promise<GetMetricsResponse> => {
      const scaled = parseScaled(scaledObjectRef);
      if (metricName !== '' && metricName !== scaled.metric) throw invalid('metricName', metricName, `${scaled.metric}, or empty`);
      const wanted = await scaler.wanted(scaled, signal);
      const value = { metricName: scaled.metric, metricValue: BigInt(Math.ceil(wanted)), metricValueFloat: wanted };
      return { metricValues: [value] };
    }),

    // The target comes from the metadata, so it never changes. A stream that ended would be opened again and again.
    streamMetricSpec: watchStream(async function* (request, { signal }) {
      yield specOf(request);
      await scaler.holdOpen(signal);
    }),
  });
}

function specOf(request: ScaledObjectRef): GetMetricSpecResponse {
  const { metric, targetPerReplica } = parseScaled(request);
  return { metricSpecs: [{ metricName: metric, targetSize: BigInt(targetPerReplica), targetSizeFloat: targetPerReplica }] };
}
