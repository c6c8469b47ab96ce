/** Finds or starts the trainer that resolves the spec of a plan. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addressOf, storeOf } from '../addresses.js';
import type { Context } from '../context.js';
import { CommandError } from '../exit-codes.js';
import { startAll } from '../up/start-all.js';

interface Places {
  readonly trainer?: string;
  readonly store?: string;
}

/** Calls `use` with a context in which a trainer and a store can be found. If none runs, starts them in a temporary folder and stops them. */
export async function withServicesFor(given: Places, context: Context, use: (context: Context) => Promise<void>): Promise<void> {
  if (found(() => addressOf('trainer', given.trainer, context))) return await use(context);
  const home = await mkdtemp(join(tmpdir(), 'dropstream-plan-'));
  try {
    const store = found(() => storeOf(given.store, context)) ?? join(home, 'store');
    context.terminal.err('no trainer service is running: starting services for this plan');
    const { env, cwd } = context;
    const services = await startAll({ home, store, dataRoots: [home], env, cwd, logLevel: 'error', drainMs: 1000 });
    try {
      const trainer = services.state.services.find(({ service }) => service === 'trainer');
      const own = { DROPSTREAM_TRAINER: trainer?.address, DROPSTREAM_STORE: store, DROPSTREAM_DATA: 'none' };
      await use({ ...context, env: { ...env, ...own } });
    } finally {
      await services.stop();
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

function found(look: () => string): string | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}
