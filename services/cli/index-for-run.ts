/** Indexes the images of a run that `train` or a study creates. */
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { readUpState, storeOf } from './addresses.js';
import { projectIdOf } from './commands/shared-options.js';
import { type Context, homeFolder } from './context.js';
import { indexForTraining } from './data-sets.js';
import { CommandError, exitCodes } from './exit-codes.js';
import { count } from './output/numbers.js';
import type { TrainRequest } from './train-spec.js';

/** Indexes the training and evaluation images and writes their manifests into the spec. */
export async function indexForRun(
  { spec, data }: TrainRequest,
  given: { readonly store?: string; readonly project: string },
  context: Context,
): Promise<void> {
  if (!data.data_path) return;
  const place = { store: storeOf(given.store, context), project: projectIdOf(given) };
  const { train, evaluation } = await indexForTraining(data, place, context, spec);
  for (const { folder } of [train, evaluation ?? train]) await checkReadable(folder, place.project, context);
  spec.trainManifest = train.sha256;
  spec.evalManifest ||= evaluation?.sha256 ?? '';
  context.terminal.err(
    `training images: ${count(train.samples)} in ${train.classes.length} classes; evaluation images: ${evaluation ? count(evaluation.samples) : 'none'}`,
  );
}

/** The data service of a running `up` refuses folders outside its roots. Checked here, because the run would only fail later. */
async function checkReadable(folder: string, project: string, context: Context): Promise<void> {
  const state = context.env.DROPSTREAM_DATA ? undefined : readUpState(homeFolder(context));
  if (state === undefined) return;
  const roots = (await AllowedRoots.open(state.dataRoots)).for(project);
  await roots.resolve(folder).catch((error: unknown) => {
    const how = `start \`dropstream up\` with --data-root ${folder}`;
    throw new CommandError(`the data service may not read ${folder} for project ${project}: ${how}`, exitCodes.permission, {
      cause: error,
    });
  });
}
