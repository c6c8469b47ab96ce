/** `dropstream up`: runs all services on this machine until Ctrl-C. */
import { join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type ServedName, servedNames } from '../addresses.js';
import { type Context, homeFolder } from '../context.js';
import { CommandError, exitCodes } from '../exit-codes.js';
import { tableLines } from '../output/table.js';
import { paint } from '../output/terminal.js';
import { makePrivateFolder } from '../private-folder.js';
import { forwardLine, logLevelNames } from '../up/forward-line.js';
import { prometheusFolder } from '../up/prometheus-files.js';
import { type RunningServices, startAll } from '../up/start-all.js';

interface UpOptions {
  readonly dataRoot: string[];
  readonly store?: string;
  readonly dataReplicas: string;
  readonly workers: string;
  readonly ports?: string;
  readonly gateway: boolean;
  readonly logLevel: string;
  readonly json?: boolean;
}

/** Ports for `--ports default`: the default ports of the services. */
const usualPorts: Record<ServedName, number> = { gateway: 7010, data: 7011, scheduler: 7012, trainer: 7013, evaluator: 7014 };

export function addUpCommand(program: Command, context: Context): void {
  program
    .command('up')
    .description('run all services on this machine until Ctrl-C; services that crash are restarted')
    .option(
      '--data-root <dir>',
      'folder that the data service may read, for all projects or, as FOLDER#projects=ID+ID, for some; can be given several times (default: .dropstream/data)',
      (dir: string, all: string[]) => [...all, dir],
      [],
    )
    .option(
      '--store <uri>',
      'object store: a folder, file:///folder or s3://bucket/prefix?endpoint=… (default: DROPSTREAM_STORE, or .dropstream/store)',
    )
    .option('--data-replicas <n>', 'number of replicas of the data service, 1 to 64', '1')
    .option('--workers <n>', 'number of processes that train, 1 to 64: several runs at once, or one run with `train --workers`', '1')
    .option(
      '--ports <list>',
      'ports: `default`, or a list such as gateway=7010,data=7011,scheduler=7012,trainer=7013,evaluator=7014 (default: free ports)',
    )
    .option('--no-gateway', 'run neither the console nor the RPCs over HTTP')
    .addOption(
      new Option('--log-level <level>', 'lowest level of the log messages shown here; the log files contain all messages')
        .choices([...logLevelNames])
        .default('warn'),
    )
    .option('--json', 'print the addresses of the services as JSON')
    .action((options: UpOptions) => up(options, context));
}

async function up(options: UpOptions, context: Context): Promise<void> {
  const { terminal } = context;
  const home = homeFolder(context);
  const store = options.store ?? context.env.DROPSTREAM_STORE ?? join(home, 'store');
  const dataRoots = (options.dataRoot.length > 0 ? options.dataRoot : [join(home, 'data')]).map((dir) => resolve(context.cwd, dir));
  const replicas = countOf('--data-replicas', options.dataReplicas);
  const workers = countOf('--workers', options.workers);
  makePrivateFolder(home);
  if (options.dataRoot.length === 0) makePrivateFolder(dataRoots[0]!);

  const interrupted = interruption(context);
  let running: RunningServices | undefined;
  try {
    terminal.err('starting the services …');
    running = await startAll({
      home,
      store: store.includes('://') ? store : resolve(context.cwd, store),
      dataRoots,
      dataReplicas: replicas,
      workers,
      ports: parsePorts(options.ports),
      gateway: options.gateway,
      env: context.env,
      cwd: context.cwd,
      onLine: (name, line) => forwardLine(terminal, name, line, options.logLevel),
      onEvent: (event) => {
        if (event.kind === 'died')
          terminal.err(paint(terminal, 'yellow', `${event.name} crashed (${event.how}); it will be restarted in ${event.restartInMs} ms`));
        if (event.kind === 'started' && event.restarts > 0) terminal.err(`${event.name} was restarted (process ${event.pid})`);
      },
    });
    const { state } = running;
    if (options.json) terminal.out(JSON.stringify(state));
    else {
      if (state.gateway) terminal.out(`console  ${state.gateway.url}\n`);
      const lines = tableLines(state.services, [
        { title: 'SERVICE', value: (s) => s.name },
        { title: 'gRPC', value: (s) => s.address },
        { title: 'METRICS', value: (s) => `${s.admin}/metrics` },
      ]);
      for (const line of lines) terminal.out(line);
      terminal.err(`\nstore    ${state.store}\ndata     ${state.dataRoots.join(', ')}\nlogs     ${running.logs}`);
      terminal.err(`metrics  ${join(prometheusFolder(home), 'prometheus.yml')} (for prometheus --config.file)`);
      terminal.err('Commands in other terminals find these addresses automatically: try `dropstream runs list`. Press Ctrl-C to stop.');
    }
    await interrupted.promise;
    terminal.err('\nstopping the services; running trainings save checkpoints first …');
  } finally {
    await running?.stop();
    interrupted.close();
  }
  terminal.err('stopped');
}

function countOf(name: string, text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 64)
    throw new CommandError(`${name} is ${text}, must be from 1 to 64`, exitCodes.usage);
  return count;
}

/** Resolves at SIGINT or SIGTERM. A second SIGINT ends the process at once, and its children end with it. */
function interruption(context: Context): { promise: Promise<void>; close(): void } {
  let asked = false;
  let listener = () => {};
  const promise = new Promise<void>((resolve) => {
    listener = () => {
      if (asked) process.exit(exitCodes.interrupted);
      asked = true;
      resolve();
    };
    process.on('SIGINT', listener);
    if (context.signal.aborted) resolve();
    context.signal.addEventListener('abort', () => resolve(), { once: true });
  });
  return { promise, close: () => void process.off('SIGINT', listener) };
}

function parsePorts(text: string | undefined): Partial<Record<ServedName, number>> {
  if (text === undefined) return {};
  if (text === 'default') return usualPorts;
  return Object.fromEntries(
    text.split(',').map((part) => {
      const [name = '', port = ''] = part.split('=');
      if (!servedNames.includes(name as ServedName) || !(Number(port) >= 1 && Number(port) <= 64_535)) {
        throw new CommandError(
          `--ports has "${part}", must be default or SERVICE=PORT with ${servedNames.join(', ')} and 1 to 64535`,
          exitCodes.usage,
        );
      }
      return [name, Number(port)];
    }),
  );
}
