/** `dropstream store check`: looks through a whole object store for damage and leftovers, and repairs what has one right answer. */
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { invalid } from '#errors/errors.js';
import { redacted } from '#errors/redact.js';
import { mapLowerErrors } from '#rpc/map-lower-errors.js';
import type { ObjectStore } from '#storage/object-store.js';
import { openStore } from '#storage/open-store.js';
import { storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { bytes, count } from '../output/numbers.js';
import { tableLines } from '../output/table.js';
import { checkLeftovers } from '../store-check/check-leftovers.js';
import { checkStore } from '../store-check/check-store.js';
import { FindingList, type ToldFinding } from '../store-check/finding-list.js';
import { progressOf } from '../store-check/progress.js';
import { printJson } from './shared-options.js';

interface CheckOptions {
  readonly store?: string;
  readonly repair?: boolean;
  readonly deep?: boolean;
  readonly json?: boolean;
  readonly graceHours: string;
}

export function addStoreCommand(program: Command, context: Context): void {
  const store = program.command('store').description('look after the object store');
  store
    .command('check')
    .description('look for damaged objects and leftovers; exits with 0 if the store is whole, otherwise with 1')
    .option('--store <uri>', 'object store to check (default: DROPSTREAM_STORE, or the store of the running `dropstream up`)')
    .option('--repair', 'finish deletions, delete leftovers and write missing index entries; what is damaged or lost is only reported')
    .option('--deep', 'also read all checkpoints and images and compare their SHA-256')
    .option('--grace-hours <hours>', 'leftovers younger than this may belong to work in progress and are left alone', '24')
    .option('--json', 'print the result as JSON')
    .action(async (options: CheckOptions) => await check(options, context));
}

async function check(options: CheckOptions, context: Context): Promise<void> {
  const graceHours = Number(options.graceHours);
  if (!(graceHours >= 0 && graceHours <= 8760)) throw invalid('--grace-hours', options.graceHours, 'a number of hours from 0 to 8760');
  const { signal, terminal } = context;
  const findings = new FindingList(options.repair === true, signal);
  const uri = storeOf(options.store, context);
  const progress = progressOf(terminal);
  let store: ObjectStore | undefined;
  try {
    store = await openStore(uri, { env: context.env, signal, lookOnly: true });
    const shared = {
      store,
      signal,
      deep: options.deep === true,
      graceMs: graceHours * 3_600_000,
      nowMs: Date.now(),
      report: findings.add,
    };
    const totals = await checkStore(shared, progress.show);
    if (store.uri.startsWith('file:')) await checkLeftovers(shared, fileURLToPath(store.uri));
    await findings.repairAll();
    progress.close();
    tell(findings, { store: store.uri, ...totals }, options.json === true, context);
  } catch (error) {
    progress.close();
    throw mapLowerErrors(error) ?? error;
  } finally {
    await store?.close();
  }
  const left = findings.unrepaired;
  if (left > 0)
    throw new CommandError(`${count(left)} of ${count(findings.total)} findings ${left === 1 ? 'is' : 'are'} damage or leftovers`);
}

interface Totals {
  readonly store: string;
  readonly objects: number;
  readonly bytes: number;
}

const columns = [
  { title: 'FINDING', value: ({ kind }: ToldFinding) => kind },
  { title: 'WHERE', value: ({ where }: ToldFinding) => where },
  { title: 'WHAT', value: ({ detail }: ToldFinding) => detail },
  { title: 'THEN', value: ({ repaired, failed, advice }: ToldFinding) => repaired ?? failed ?? advice },
];

/** A folder may be named by what was given in its place. */
const withoutSecrets = <T>(value: T): T => JSON.parse(redacted(JSON.stringify(value))) as T;

function tell(findings: FindingList, totals: Totals, asJson: boolean, context: Context): void {
  const { terminal } = context;
  const { list, total, unrepaired } = findings;
  if (asJson) {
    printJson(context, withoutSecrets({ ...totals, whole: unrepaired === 0, findings: list, unlisted: total - list.length }));
    return;
  }
  if (list.length > 0) for (const line of tableLines(withoutSecrets(list), columns)) terminal.out(line);
  if (total > list.length) terminal.err(`${count(total - list.length)} further findings are not listed`);
  const what = `${count(totals.objects)} objects, ${bytes(totals.bytes)}`;
  terminal.err(unrepaired === 0 ? `${totals.store} is whole (${what})` : `${totals.store} is not whole (${what})`);
}
