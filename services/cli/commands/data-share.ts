/** `dropstream data share`: gives a project a data set that is in the store already. */
import { type Command, Option } from 'commander';
import { locationKey, readLocationAt, saveLocation, sharedLocationKey } from '#data/manifest/manifest-location.js';
import { manifestKey } from '#data/manifest/manifest-store.js';
import { FailedPrecondition, invalid, NotFound } from '#errors/errors.js';
import { isSha256, sha256Rule } from '#storage/content-hash.js';
import { objectExists } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { projectIdOf, projectOption } from './shared-options.js';

interface ShareOptions {
  readonly from?: string;
  readonly project: string;
  readonly store?: string;
}

export function addDataShare(data: Command, context: Context): void {
  data
    .command('share <manifest>')
    .description('give a project a data set that another project has, or that an earlier version indexed; no image is read')
    .option('--from <id>', 'id of the project that has it (default: none, for a data set that an earlier version indexed)')
    .addOption(projectOption())
    .addOption(
      new Option('--store <uri>', 'object store of the manifest (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)'),
    )
    .action(async (manifest: string, options: ShareOptions) => share(manifest, options, context));
}

async function share(sha256: string, options: ShareOptions, context: Context): Promise<void> {
  if (!isSha256(sha256)) throw invalid('manifest', sha256, sha256Rule);
  const project = projectIdOf(options);
  const from = options.from === undefined ? undefined : projectIdOf({ project: options.from });
  const { env, signal } = context;
  const store = await openStore(storeOf(options.store, context), { env, signal });
  try {
    if (!(await objectExists(store, manifestKey(sha256), { signal }))) throw new NotFound('manifest', sha256);
    const key = from === undefined ? sharedLocationKey(sha256) : locationKey({ project: from, sha256 });
    const { path, store: uri, damage } = await readLocationAt(store, key, signal);
    const place = path ?? uri;
    const otherwise = 'index the data set for the project instead';
    if (place === undefined) throw new FailedPrecondition('manifest', sha256, `${key} ${damage ?? 'does not exist'}: ${otherwise}`);
    await saveLocation(store, { project, sha256 }, place, signal);
    context.terminal.out(`project ${project} has the manifest ${sha256}, with its data set in ${place}`);
  } finally {
    await store.close();
  }
}
