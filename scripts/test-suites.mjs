// The suites of the tests: every *.test.ts belongs to exactly one. `core` is what `npm test` runs and takes every file that no other suite names.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** Suites by name: paths, of a file or of a folder that ends with "/". */
export const suites = {
  core: [],
  // The engine beside PyTorch's golden values at full size, every altered fixture found out, and TensorFlow beside the engine.
  parity: [
    'libs/engine/golden-models-full.test.ts',
    'libs/engine/golden-models.test.ts',
    'libs/engine/gradient-rules.test.ts',
    'libs/engine/trajectory.test.ts',
    'libs/native/kernels.test.ts',
    'test/interchange/',
    'test/parity/',
    'test/tensorflow/',
  ],
  // Equal bits for any number of threads and replicas, and after any kill; a large model that keeps its claim.
  determinism: [
    'libs/engine/leaves.test.ts',
    'services/trainer/large-model.test.ts',
    'services/trainer/resume.test.ts',
    'test/chaos/sigkill.test.ts',
    'test/collectives/',
    'test/determinism/',
    'test/drain/evicted-in-a-step.test.ts',
  ],
  // Whole systems: the command line with every service, the demo, the documents' examples, deployment files beside real tools.
  // On a GPU, or on lavapipe; `npm run test:webgpu` also runs other tests there.
  webgpu: [
    'libs/engine/webgpu/',
    'services/cli/gpu-tuning.test.ts',
    'services/trainer/gpu-f16.test.ts',
    'services/trainer/gpu-faults.test.ts',
    'services/trainer/gpu-kill-and-pause.test.ts',
    'services/trainer/gpu-tuned-run.test.ts',
    'test/drain/gpu-evicted-in-a-step.test.ts',
  ],
  // The quick demo on a GPU takes a software device minutes, so CI does not run it.
  'webgpu-demo': ['services/cli/demo/gpu-demo.test.ts'],
  // The web console in a real browser, on real services.
  console: ['test/console/'],
  'end-to-end': [
    'services/cli/demo/demo.test.ts',
    'test/clients/',
    'test/deploy/',
    'test/end-to-end/',
    'test/examples/',
    'test/load/',
    'test/tracing/',
  ],
};

/** Every test file by suite, in order. Throws where a path names no file, or two suites name the same one. */
export function filesBySuite() {
  const all = ['libs', 'services', 'test']
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true }).map((file) => join(folder, file)))
    .filter((file) => file.endsWith('.test.ts') && !file.includes('node_modules'))
    .sort();
  const files = Object.fromEntries(Object.keys(suites).map((name) => [name, []]));
  const unused = new Set(Object.values(suites).flat());
  for (const file of all) {
    const owners = Object.entries(suites).flatMap(([name, paths]) => {
      const matching = paths.filter((path) => (path.endsWith('/') ? file.startsWith(path) : file === path));
      for (const path of matching) unused.delete(path);
      return matching.map(() => name);
    });
    if (owners.length > 1) throw new Error(`scripts/test-suites.mjs: ${file} belongs to ${owners.join(' and ')}`);
    files[owners[0] ?? 'core'].push(file);
  }
  if (unused.size > 0) throw new Error(`scripts/test-suites.mjs: no test file at ${[...unused].join(', ')}`);
  return files;
}
