/** Declares which fields of the trainer's requests hold resource names. */
import type { TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import type { RequestNames } from '#rpc/request-names.js';

const spec = {
  schedule: 'schedule?',
  finetune: 'checkpoint?',
  // Manifests are named by their SHA-256; that of a project which has not indexed it does not exist for it.
  trainManifest: 'text',
  evalManifest: 'text',
  model: 'text',
  aa: 'text',
} as const;

export const trainerNames = {
  createRun: { parent: 'project', runId: 'text', spec, requestId: 'text', labels: 'text' },
  getRun: { name: 'run' },
  listRuns: { parent: 'project', pageToken: 'text', filter: 'text', orderBy: 'text' },
  deleteRun: { name: 'run', etag: 'text' },
  watchRun: { name: 'run', uid: 'text' },
  getRunSeries: { name: 'run' },
  pauseRun: { name: 'run' },
  resumeRun: { name: 'run' },
  cancelRun: { name: 'run' },
  listCheckpoints: { parent: 'run', pageToken: 'text' },
  getCheckpoint: { name: 'checkpoint' },
} as const satisfies RequestNames<typeof TrainerServiceService>;
