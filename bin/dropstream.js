#!/usr/bin/env node
// Starts the command line: the compiled one, or the source where Node runs with `--conditions=source --import tsx` (tests, development).
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const source = process.execArgv.some((argument) => /^--conditions=source$|^source$/.test(argument));
const entry = new URL(source ? '../services/cli/main.ts' : '../dist/services/cli/main.js', import.meta.url);
if (existsSync(fileURLToPath(entry))) {
  const { runProcess } = await import(entry.href);
  await runProcess();
} else {
  console.error(
    `dropstream is not built: ${fileURLToPath(entry)} is missing. Run \`npm run build\` in ${fileURLToPath(new URL('..', import.meta.url))}`,
  );
  process.exitCode = 1;
}
