/** Declares which fields of the scaler's requests hold resource names: none. KEDA names objects of Kubernetes. */
import type { ExternalScalerService } from '#protocol/externalscaler/externalscaler.js';
import type { RequestNames } from '#rpc/request-names.js';

const ref = { name: 'text', namespace: 'text', scalerMetadata: 'text' } as const;

export const scalerNames = {
  isActive: ref,
  streamIsActive: ref,
  getMetricSpec: ref,
  getMetrics: { scaledObjectRef: ref, metricName: 'text' },
  streamMetricSpec: ref,
} as const satisfies RequestNames<typeof ExternalScalerService>;
