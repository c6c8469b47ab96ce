/** `dropstream tune`: finds the fastest tiles of matrix products on the user's GPU and stores the choice. */
import type { Command } from 'commander';
import type { TunedProduct } from '#engine/index.js';
import { invalid } from '#errors/errors.js';
import type { Context } from '../context.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { significant } from '../output/numbers.js';
import { tableLines } from '../output/table.js';
import { printJson } from './shared-options.js';

interface Options {
  readonly engine: string;
  readonly model: readonly string[];
  readonly inputSize?: string;
  readonly precision?: string;
  readonly batch: string;
  readonly forget?: boolean;
  readonly json?: boolean;
}

/** Tuning that takes longer is given up. */
const MOST_MINUTES = 20;
const MOST_BATCH = 65_536;
/** One of each family whose products are wide enough to show differences. */
const MODELS = ['vit_tiny', 'mixer_s32', 'swin_tiny', 'convnext_tiny'];

export function addTuneCommand(program: Command, context: Context): void {
  program
    .command('tune')
    .description('find out which tiles of matrix products are fastest on the GPU, and keep the choice for this user')
    .option('--engine <name>', 'what to tune: webgpu, on the GPU that DROPSTREAM_GPU names', 'webgpu')
    .option('--model <name...>', 'models whose products are timed', MODELS)
    .option('--input-size <pixels>', 'side of their images (default: that of each model)')
    .option('--precision <name>', 'only fp32 or bf16 (default: both)')
    .option('--batch <n>', 'images in a micro-batch', '64')
    .option('--forget', 'forget the choice for the GPU, which then has its default tiles again')
    .option('--json', 'print the result as JSON')
    .action(async (options: Options) => await untilInterrupted(options, context));
}

/** Ctrl-C and SIGTERM leave the choice of before. */
async function untilInterrupted(options: Options, context: Context): Promise<void> {
  const stop = new AbortController();
  const onInterrupt = () => stop.abort();
  const late = AbortSignal.timeout(MOST_MINUTES * 60_000);
  process.on('SIGINT', onInterrupt);
  try {
    await (options.forget ? forget(context) : tuned(options, context, AbortSignal.any([context.signal, stop.signal, late])));
  } catch (error) {
    if (stop.signal.aborted)
      throw new CommandError('interrupted; what was chosen before still holds', exitCodes.interrupted, { cause: error });
    if (late.aborted)
      throw new CommandError(`tuning took more than ${MOST_MINUTES} minutes; time fewer models (--model) or one precision (--precision)`);
    throw error;
  } finally {
    process.off('SIGINT', onInterrupt);
    context.terminal.status('');
  }
}

async function forget({ terminal }: Context): Promise<void> {
  const { forgetTuning } = await import('#engine/index.js');
  terminal.err(`the choice for this GPU is no longer in ${await forgetTuning()}`);
}

async function tuned(options: Options, context: Context, signal: AbortSignal): Promise<void> {
  const { terminal } = context;
  const { tuneEngine } = await import('#engine/index.js');
  const asked = await checked(options);
  const result = await tuneEngine({
    ...asked,
    signal,
    onTile: (product, tile, place, of) => terminal.status(`${product} (${place + 1} of ${of}): ${tile}`),
    onChoice: (choice) => terminal.err(`${choice.product} ${choice.precision}: ${choice.tile}, ${against(choice)} of the default`),
  });
  const { adapter, file, products } = result;
  if (adapter.software) terminal.err(`${adapter.name} computes on the CPU: these figures say nothing about a GPU`);
  if (options.json) printJson(context, result);
  else for (const line of tableLines(products, columns)) terminal.out(line);
  terminal.err(`programs on ${adapter.name} have these tiles from now on (${file}); runs that have checkpoints keep theirs`);
}

const against = ({ gflops, defaultGflops }: TunedProduct): string => `${((100 * gflops) / defaultGflops).toFixed(0)} %`;

const columns = [
  { title: 'PRODUCT', value: ({ product }: TunedProduct) => product },
  { title: 'PRECISION', value: ({ precision }: TunedProduct) => precision },
  { title: 'TILE', value: ({ tile }: TunedProduct) => tile },
  { title: 'GFLOP/S', value: ({ gflops }: TunedProduct) => significant(gflops, 3) },
  { title: 'DEFAULT', value: ({ defaultGflops }: TunedProduct) => significant(defaultGflops, 3) },
  { title: 'OF DEFAULT', value: against },
];

/** @throws InvalidArgument naming the option */
async function checked({ engine, model, inputSize: size, precision, batch }: Options) {
  const [{ tunedPrecisions, tunedEngines }, { defaultImageSize, modelConfig, UnknownModel }] = await Promise.all([
    import('#engine/index.js'),
    import('#nn/models/registry.js'),
  ]);
  if (!(tunedEngines as readonly string[]).includes(engine))
    throw invalid('--engine', engine, `${tunedEngines.join(' or ')}; other engines have nothing to tune`);
  const only = tunedPrecisions.find((one) => one === precision);
  if (precision !== undefined && only === undefined) throw invalid('--precision', precision, tunedPrecisions.join(' or '));
  const images = Number(batch);
  if (!Number.isInteger(images) || images < 1 || images > MOST_BATCH)
    throw invalid('--batch', batch, `a whole number from 1 to ${MOST_BATCH}`);
  try {
    const models = model.map((name) => ({ name, imageSize: size === undefined ? defaultImageSize(name) : Number(size) }));
    for (const { name, imageSize } of models) modelConfig(name, { imageSize, classes: 1 });
    return { models, batch: images, precisions: only && [only] };
  } catch (error) {
    if (!(error instanceof UnknownModel)) throw error;
    throw invalid(error.field === 'model' ? '--model' : '--input-size', String(error.value), error.allowed);
  }
}
