/** `dropstream train`: the reference's command line, as a run of the trainer service. */
import { randomUUID } from 'node:crypto';
import { type Command, Option } from 'commander';
import { AllowedRoots } from '#data/datasets/allowed-roots.js';
import { modelNames } from '#nn/models/registry.js';
import { Run, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { readUpState, storeOf } from '../addresses.js';
import { type Context, homeFolder } from '../context.js';
import { indexForTraining } from '../data-sets.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { followRun } from '../follow/follow-run.js';
import { count } from '../output/numbers.js';
import { isExplainedOption, type TrainOption, trainOptions } from '../train-options.js';
import { type GivenOptions, trainRequest } from '../train-spec.js';
import { evaluateOnly } from './evaluate-only.js';
import { printJson, projectName, type SharedOptions, shortName, withClient, withSharedOptions } from './shared-options.js';

interface TrainOwnOptions extends SharedOptions {
  readonly run_id?: string;
  readonly store?: string;
  readonly detach?: boolean;
  readonly validate_only?: boolean;
  readonly list_models?: boolean;
}

export function addTrainCommand(program: Command, context: Context): void {
  const train = withSharedOptions(
    program.command('train').description('train a model: the options of the reference, with dashes or underscores'),
    ['trainer'],
  )
    .option('--run_id <id>', 'id of the run; default: chosen')
    .option('--store <uri>', "store that data_path is indexed into; default: DROPSTREAM_STORE, or the running `up`'s")
    .option('--detach', 'print the name of the run and leave')
    .option('--validate_only', 'only check the options; nothing is stored')
    .option('--list_models', 'print the names of the models');
  for (const option of trainOptions) train.addOption(commandOption(option));
  train.addHelpText(
    'after',
    "\nThe defaults are those of the paper's recipe for ImageNet: 300 epochs with 50 of warm-up, RandAugment, mixup and cutmix.",
  );
  train.action((given: GivenOptions & TrainOwnOptions) => runTraining(given, context));
}

function commandOption(option: TrainOption): Option {
  const shape = option.kind === 'boolean' ? '[true|false]' : option.kind === 'numbers' ? '<numbers...>' : '<value>';
  const made = new Option(`--${option.name} ${shape}`, `${option.help} (default: ${option.default})`);
  if (isExplainedOption(option)) return made.hideHelp();
  return made.helpGroup(`${option.group}:`);
}

async function runTraining(given: GivenOptions & TrainOwnOptions, context: Context): Promise<void> {
  const { terminal } = context;
  if (given.list_models) {
    for (const name of modelNames()) terminal.out(name);
    return;
  }
  const asked = trainRequest(given);
  const { spec, data, notes } = asked;
  for (const note of notes) terminal.err(note);
  if (asked.evalOnly) return await evaluateOnly(asked, given, context);
  if (data.data_path) {
    const { train, evaluation } = await indexForTraining(data, storeOf(given.store, context), context);
    for (const { folder } of [train, evaluation ?? train]) await checkReadable(folder, context);
    spec.trainManifest = train.sha256;
    spec.evalManifest ||= evaluation?.sha256 ?? '';
    terminal.err(
      `training images: ${count(train.samples)} in ${train.classes.length} classes; evaluation images: ${evaluation ? count(evaluation.samples) : 'none'}`,
    );
  }
  await withClient(TrainerServiceClient, 'trainer', given, context, async (client, call) => {
    const request = {
      parent: projectName(given),
      runId: given.run_id ?? '',
      spec,
      requestId: randomUUID(),
      validateOnly: given.validate_only ?? false,
    };
    const { run } = await client.createRun(request, call);
    if (given.validate_only) {
      if (given.json) printJson(context, Run.toJSON(run!));
      else terminal.err(`the options are good: ${count(run?.totalSteps ?? 0)} optimizer steps, ${count(run?.stepsPerEpoch ?? 0)} an epoch`);
      return;
    }
    if (given.detach || given.json) {
      if (given.json) printJson(context, Run.toJSON(run!));
      else terminal.out(run!.name);
      if (given.detach) return;
    }
    terminal.err(`run ${shortName(run!.name)}: ${spec.model}, ${count(run!.parameters)} parameters, ${count(run!.totalSteps)} steps`);
    await followRun(client, run!.name, context);
  });
}

/** The data service of a running `up` refuses folders outside its roots; said here, before a run fails of it. */
async function checkReadable(folder: string, context: Context): Promise<void> {
  const state = context.env.DROPSTREAM_DATA ? undefined : readUpState(homeFolder(context));
  if (state === undefined) return;
  const roots = await AllowedRoots.open(state.dataRoots);
  await roots.resolve(folder).catch((error: unknown) => {
    const how = `start \`dropstream up\` with --data-root ${folder}`;
    throw new CommandError(`the data service may not read ${folder}: ${how}`, exitCodes.permission, { cause: error });
  });
}
