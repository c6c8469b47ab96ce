/** Which fields of the data service's requests hold resource names. Manifests go by their SHA-256 and belong to no project. */
import type { DataServiceService } from '#protocol/dropstream/v1/data.js';
import type { RequestNames } from '#rpc/request-names.js';

const plan = {
  dataset: { manifest: 'text' },
  transform: { aa: 'text' },
} as const;

export const dataNames = {
  describeDataset: { dataset: { manifest: 'text' } },
  getBatch: { parent: 'project?', plan, planDigest: 'text', client: 'text' },
  previewBatch: { parent: 'project?', plan },
} as const satisfies RequestNames<typeof DataServiceService>;
