/** A command as the root of a trace, if traces are exported: its calls are parts of it, and what the services do for them. */

import { wantsTraces } from '#telemetry/otlp/settings.js';
import { inSpan } from '#telemetry/spans.js';

/** Longest time in ms for which the last spans may delay the end of a command. */
const lastSpansMs = 1000;
/** Commands that run until they are ended: services trace themselves. */
const lasting = new Set(['serve', 'up']);

/** @param argv arguments without node and script @param run returns the exit code */
export async function tracedCommand(argv: readonly string[], run: () => Promise<number>): Promise<number> {
  const [command = 'help'] = argv;
  if (lasting.has(command) || !wantsTraces(process.env)) return await run();
  const { createLogger } = await import('#telemetry/logger.js');
  const { startTracing } = await import('#telemetry/start-tracing.js');
  // A command is given by a person, or by a script that waits for it: each is recorded unless a sampler is named.
  const tracing = await startTracing({
    service: 'dropstream-cli',
    usualRatio: 1,
    exportMs: lastSpansMs,
    logger: createLogger({ service: 'cli', level: 'warn' }),
  });
  try {
    const name = /^[a-z]+$/.test(command) ? command : 'help';
    return await inSpan(`dropstream ${name}`, {}, async (span) => {
      const code = await run();
      span.set({ 'process.exit.code': code });
      if (code !== 0) span.fail(`exit code ${code}`);
      return code;
    });
  } finally {
    await tracing.close(lastSpansMs);
  }
}
