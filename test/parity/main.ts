/** npm run parity: the golden values of a folder against this working copy. See docs/differences.md for what differs on purpose. */
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import type { ExecutorName } from '#engine/index.js';
import type { Precision } from '../support/golden-model.js';
import { sharedFolder, sharedPath } from '../support/shared-folder.js';
import { groupNames } from './groups/index.js';
import { runParity } from './run-parity.js';

const engines: Readonly<Record<string, ExecutorName>> = {
  native: 'native',
  webgpu: 'webgpu',
  cpu: 'tfjs-cpu',
  tensorflow: 'tfjs-tensorflow',
};
const precisions: readonly string[] = ['fp32', 'bf16'] satisfies Precision[];

const usage = `npm run parity -- [options]

  --fixtures DIR     a folder laid out like shared/fixtures (default: that folder, beside the checkout or in DROPSTREAM_SHARED)
  --engine NAME      ${Object.keys(engines).join(', ')} (default native)
  --precision NAME   ${precisions.join(', ')} (default fp32)
  --only A,B         groups: ${groupNames.join(', ')} (default all)
  --images PATH      a tar of images, or a folder with tars and images (default: data beside DIR, then in the shared folder)

Exit status: 0 all compared cases passed; 1 a case failed or nothing was compared; 2 the options are wrong.`;

class UsageError extends Error {}

function oneOf(option: string, value: string, allowed: readonly string[]): string {
  if (!allowed.includes(value))
    throw new UsageError(`--${option}: ${JSON.stringify(value)} is not allowed; allowed: ${allowed.join(', ')}`);
  return value;
}

function optionsOf(args: string[]) {
  const { values } = parseArgs({
    args,
    options: {
      fixtures: { type: 'string' },
      engine: { type: 'string', default: 'native' },
      precision: { type: 'string', default: 'fp32' },
      only: { type: 'string' },
      images: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return undefined;
  const fixtures = values.fixtures === undefined ? sharedPath('fixtures') : resolve(values.fixtures);
  if (fixtures === undefined) throw new UsageError(`--fixtures: a folder is needed, because there is no ${join(sharedFolder, 'fixtures')}`);
  const data = [
    join(dirname(fixtures), 'data', 'imagenet-500.tar'),
    join(dirname(fixtures), 'data'),
    join(sharedFolder, 'data', 'imagenet-500.tar'),
  ];
  return {
    fixtures,
    engine: {
      executor: engines[oneOf('engine', values.engine, Object.keys(engines))] as ExecutorName,
      precision: oneOf('precision', values.precision, precisions) as Precision,
    },
    only: values.only?.split(',').map((name) => oneOf('only', name.trim(), groupNames)),
    images: values.images === undefined ? data : [resolve(values.images), ...data],
  };
}

try {
  const options = optionsOf(process.argv.slice(2));
  if (options === undefined) console.log(usage);
  else {
    const started = performance.now();
    const { passed, failed, skipped } = await runParity({ ...options, print: (line) => console.log(line) });
    console.log(`\n${skipped} skipped, for the reasons above; ${((performance.now() - started) / 1000).toFixed(0)} s`);
    console.log(`${passed} passed, ${failed} failed`);
    if (failed > 0 || passed === 0) process.exitCode = 1;
  }
} catch (error) {
  const wrong = error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS');
  console.error(wrong ? `${(error as Error).message}\n\n${usage}` : error);
  process.exitCode = wrong ? 2 : 1;
}
