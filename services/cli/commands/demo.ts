/** The options of `dropstream demo`. */
import { type Command, Option } from 'commander';
import type { Context } from '../context.js';
import type { DemoOptions } from '../demo/demo.js';
import { CommandError, exitCodes } from '../exit-codes.js';

export function addDemoCommand(program: Command, context: Context): void {
  program
    .command('demo')
    .description('start all services, train a small vision transformer with early dropout on Fashion-MNIST and write a report')
    .option('--quick', 'train on a part of the images; takes about half a minute')
    .option('--epochs <n>', 'number of epochs (default: 6; 4 with --quick)')
    .option('--engine <name>', 'what computes the model: native, webgpu (a GPU), auto, tfjs or tensorflow (default: native)')
    .option('--report <file>', 'file for the report (default: .dropstream/demo/report.html)')
    .option('--keep', 'keep the services running after the demo until Ctrl-C')
    .option('--synthetic', 'train on generated images instead of Fashion-MNIST')
    .option('--json', 'also print the result as JSON')
    .addOption(new Option('--validation', 'evaluate on held-out training images, so that settings can be compared').hideHelp())
    .action(async (options: DemoOptions) => {
      // Loaded on demand: it brings data sets and their readers with it.
      const { runDemo } = await import('../demo/demo.js');
      const stop = new AbortController();
      const onInterrupt = () => {
        if (stop.signal.aborted) process.exit(exitCodes.interrupted);
        stop.abort();
      };
      process.on('SIGINT', onInterrupt);
      try {
        await runDemo(options, { ...context, signal: AbortSignal.any([context.signal, stop.signal]) });
      } catch (error) {
        if (stop.signal.aborted) throw new CommandError('interrupted; the services were stopped', exitCodes.interrupted, { cause: error });
        throw error;
      } finally {
        process.off('SIGINT', onInterrupt);
      }
    });
}
