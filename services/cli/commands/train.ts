/** `dropstream train`: the reference's command line, as a run of the trainer service. */
import { createHash, randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { TrainerClient } from '#client/run-events.js';
import { NotFound } from '#errors/errors.js';
import { modelNames } from '#nn/models/registry.js';
import { Run, RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { isExplainedOption, type TrainOption, trainOptions } from '#spec/train-options.js';
import { completeNames } from '../complete-names.js';
import type { Context } from '../context.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { followRun } from '../follow/follow-run.js';
import { indexForRun } from '../index-for-run.js';
import { ownerOfFolder } from '../log-files/output-folder.js';
import { count } from '../output/numbers.js';
import { withServicesFor } from '../plan/services-for-plan.js';
import { type GivenOptions, type TrainRequest, trainRequest } from '../train-spec.js';
import { evaluateOnly } from './evaluate-only.js';
import { printPlan } from './print-plan-of-run.js';
import { printJson, projectName, type SharedOptions, shortName, withClient, withSharedOptions } from './shared-options.js';

interface TrainOwnOptions extends SharedOptions {
  readonly run_id?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly store?: string;
  readonly detach?: boolean;
  readonly validate_only?: boolean;
  readonly dry_run?: boolean;
  readonly list_models?: boolean;
}

export function addTrainCommand(program: Command, context: Context): void {
  const train = withSharedOptions(
    program.command('train').description('train a model; takes the options of the reference, spelled with dashes or underscores'),
    ['trainer'],
  )
    .option('--run_id <id>', 'id of the run (default: a new id)')
    .option('--label <key=value>', 'label of the run, for `runs list --filter`; may be given several times', addLabel)
    .option(
      '--store <uri>',
      'object store for the manifests of data_path (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)',
    )
    .option('--detach', 'create the run, print its name and exit; do not wait for it')
    .option('--validate_only', 'only check the options; create no run')
    .option('--dry_run', 'print the batch, steps, schedules, memory and time of the training without training anything')
    .option('--list_models', 'print the names of the models');
  for (const option of trainOptions) train.addOption(commandOption(option));
  train.addHelpText(
    'after',
    "\nThe defaults are those of the paper's recipe for ImageNet: 300 epochs with 50 of warm-up, RandAugment, mixup and cutmix.",
  );
  train.action((given: GivenOptions & TrainOwnOptions) => runTraining(given, context));
}

function commandOption(option: TrainOption): Option {
  const shape =
    option.kind === 'boolean'
      ? '[true|false]'
      : option.kind === 'numbers'
        ? '<numbers...>'
        : option.kind === 'range'
          ? '<n|min-max>'
          : '<value>';
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
  const { spec, notes } = asked;
  for (const note of notes) terminal.err(note);
  completeNames(spec, given);
  if (asked.evalOnly) return await evaluateOnly(asked, given, context);
  if (given.dry_run) {
    await withServicesFor(given, context, async (there) => {
      await indexForRun(asked, given, there);
      await printPlan(asked, given, there);
    });
    return;
  }
  await indexForRun(asked, given, context);
  const folders = { outputDir: asked.outputDir, logDir: asked.logDir };
  await withClient(TrainerServiceClient, 'trainer', given, context, async (client, call) => {
    const validateOnly = given.validate_only ?? false;
    const known = validateOnly ? (given.run_id ?? '') : await runIdOf(asked, given, context);
    const runId = known || `run-${randomBytes(8).toString('hex')}`;
    const name = `${projectName(given)}/runs/${runId}`;
    const before = known === '' || validateOnly ? undefined : await existingRun(client, name, call);
    if (before && !asked.autoResume) {
      throw new CommandError(
        `${before.name} exists already and --auto_resume is false: choose another id with --run_id`,
        exitCodes.conflict,
      );
    }
    // Without labels of its own, a repeated command continues the run with the labels that it has.
    const labels = given.label ?? before?.labels ?? {};
    const request = { parent: projectName(given), runId, spec, requestId: requestIdOf(name), validateOnly, labels };
    let run = (await client.createRun(request, call)).run!;
    if (validateOnly) {
      if (given.json) printJson(context, Run.toJSON(run));
      else terminal.err(`the options are valid: ${count(run.totalSteps)} optimizer steps, ${count(run.stepsPerEpoch)} in each epoch`);
      return;
    }
    if (run.state === RunState.PAUSED || run.pauseRequested) run = (await client.resumeRun({ name: run.name }, call)).run!;
    if (given.detach || given.json) {
      if (given.json) printJson(context, Run.toJSON(run));
      else terminal.out(run.name);
      if (given.detach) return detachedNote(asked, run.name, context);
    }
    const begun = before ? `continues at step ${count(run.step)} of` : `${spec.model}, ${count(run.parameters)} parameters,`;
    terminal.err(`run ${shortName(run.name)}${before ? '' : ':'} ${begun} ${count(run.totalSteps)} steps`);
    await followRun(client, run.name, context, { folders });
  });
}

/** Adds a label `key=value` to those that were given before. */
function addLabel(given: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const at = given.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('A label has the form key=value.');
  return { ...before, [given.slice(0, at)]: given.slice(at + 1) };
}

/** The id of the run to create or continue: that of --run_id, or of the run that output_dir belongs to; '' for a new id. */
async function runIdOf({ outputDir, autoResume }: TrainRequest, given: TrainOwnOptions, context: Context): Promise<string> {
  const owner = outputDir ? await ownerOfFolder(resolve(context.cwd, outputDir)) : undefined;
  const asked = given.run_id ?? '';
  if (owner === undefined) return asked;
  const fits = autoResume && owner.startsWith(`${projectName(given)}/runs/`) && (asked === '' || asked === shortName(owner));
  if (!fits) throw new CommandError(`${outputDir} belongs to ${owner}: choose another folder with --output_dir`, exitCodes.conflict);
  return shortName(owner);
}

/** Derived from the run, so that a command that is given again repeats its request, and continues the run if the options are the same. */
function requestIdOf(run: string): string {
  return `train-${createHash('sha256').update(run).digest('hex').slice(0, 40)}`;
}

async function existingRun(
  client: TrainerClient,
  name: string,
  call: { timeoutMs: number; signal: AbortSignal },
): Promise<Run | undefined> {
  try {
    return (await client.getRun({ name }, call)).run;
  } catch (error) {
    if (error instanceof NotFound) return undefined;
    throw error;
  }
}

/** Tells how to get the log files of a detached run, because only a command that follows the run writes them. */
function detachedNote({ outputDir, logDir }: TrainRequest, name: string, { terminal }: Context): void {
  const wanted = [...(outputDir ? [`--output-dir ${outputDir}`] : []), ...(logDir ? [`--log-dir ${logDir}`] : [])];
  if (wanted.length > 0)
    terminal.err(`no log files are written until you follow the run with \`dropstream runs watch ${shortName(name)} ${wanted.join(' ')}\``);
}
