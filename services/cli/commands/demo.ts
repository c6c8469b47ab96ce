/** The options of `dropstream demo`. */
import { type Command, Option } from 'commander';
import type { Context } from '../context.js';
import type { DemoOptions } from '../demo/demo.js';
import { CommandError, exitCodes } from '../exit-codes.js';

export function addDemoCommand(program: Command, context: Context): void {
  program
    .command('demo')
    .description('start all services, train a small vision transformer with early dropout on Fashion-MNIST, write a report')
    .option('--quick', 'part of the images, half a minute')
    .option('--epochs <n>', 'epochs (default: 6; 4 with --quick)')
    .option('--report <file>', 'where the report goes (default: .dropstream/demo/report.html)')
    .option('--keep', 'keep the services running afterwards, until Ctrl-C')
    .option('--synthetic', 'images made on the spot instead of Fashion-MNIST')
    .option('--json', 'print the result as JSON too')
    .addOption(new Option('--validation', 'score on training images that were left out, for choosing settings').hideHelp())
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
