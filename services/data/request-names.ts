/** Declares which fields of the data service's requests hold resource names. Manifests are named by SHA-256, and reached by the projects that have them. */
import type { DataServiceService } from '#protocol/dropstream/v1/data.js';
import type { RequestNames } from '#rpc/request-names.js';

const plan = {
  dataset: { manifest: 'text' },
  transform: { aa: 'text' },
} as const;

export const dataNames = {
  describeDataset: { parent: 'project=default', dataset: { manifest: 'text' }, plan },
  getBatch: { parent: 'project=default', plan, planDigest: 'text', client: 'text' },
  previewBatch: { parent: 'project=default', plan, pageToken: 'text' },
} as const satisfies RequestNames<typeof DataServiceService>;
