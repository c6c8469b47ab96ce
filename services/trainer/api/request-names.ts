/** Which fields of the trainer's requests hold resource names. */
import type { TrainerServiceService } from '#protocol/dropstream/v1/trainer.js';
import type { RequestNames } from '#rpc/request-names.js';

const spec = {
  schedule: 'schedule?',
  finetune: 'checkpoint?',
  // Manifests go by their SHA-256 and belong to no project.
  trainManifest: 'text',
  evalManifest: 'text',
  model: 'text',
  aa: 'text',
} as const;

export const trainerNames = {
  createRun: { parent: 'project', runId: 'text', spec, requestId: 'text' },
  getRun: { name: 'run' },
  listRuns: { parent: 'project', pageToken: 'text' },
  deleteRun: { name: 'run', etag: 'text' },
  watchRun: { name: 'run' },
  pauseRun: { name: 'run' },
  resumeRun: { name: 'run' },
  cancelRun: { name: 'run' },
  listCheckpoints: { parent: 'run', pageToken: 'text' },
  getCheckpoint: { name: 'checkpoint' },
} as const satisfies RequestNames<typeof TrainerServiceService>;
