// The life of a service's process, in real processes: a tiny service from a module of this test.
import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { StartedMessage } from './process.js';

const here = (name: string): string => JSON.stringify(pathToFileURL(join(import.meta.dirname, name)).href);
let folder = '';
let script = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dropstream-process-'));
  script = join(folder, 'service.mjs');
  await writeFile(
    script,
    `const { runService } = await import(${here('process.ts')});
     const { startService } = await import(${here('start-service.ts')});
     const { defineConfig } = await import(${here('config.ts')});
     const { serviceOptions } = await import(${here('service-options.ts')});
     const mode = process.argv[2];
     const nothingLeft = new AbortController();
     if (mode === 'finishes') setTimeout(() => nothingLeft.abort(), 50);
     await runService({ name: 'data', start: () => startService({
       finished: nothingLeft.signal,
       name: 'data',
       config: defineConfig('data', serviceOptions({ port: 0 })).parse({ argv: process.argv.slice(3), env: {} }),
       build: () => {
         if (mode === 'fails') throw new Error('no store');
         if (mode === 'crashes') setTimeout(() => { throw new Error('boom'); }, 50);
         return {
           services: [],
           drain: async () => { if (mode === 'hangs') await new Promise(() => setInterval(() => {}, 1000)); console.log('drained'); },
           close: async () => console.log('closed'),
         };
       },
     }) });`,
  );
});
after(() => rm(folder, { recursive: true }));

interface Child {
  readonly process: ChildProcess;
  readonly out: () => string;
  readonly started: Promise<StartedMessage>;
  readonly exit: Promise<number | null>;
}

function launch(...argv: string[]): Child {
  const child = fork(script, argv, {
    cwd: join(import.meta.dirname, '../..'),
    execArgv: ['--conditions=source', '--import=tsx'],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, NODE_TEST_CONTEXT: '' },
  });
  let out = '';
  for (const stream of [child.stdout!, child.stderr!])
    stream.on('data', (chunk) => {
      out += String(chunk);
    });
  const started = once(child, 'message').then(([message]) => message as StartedMessage);
  return { process: child, out: () => out, started, exit: once(child, 'close').then(([code]) => code as number | null) };
}

const status = async (port: number | undefined, path: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}${path}`)).status;

test('SIGTERM drains, closes and exits 0; the parent is told the ports', async () => {
  const child = launch('runs');
  const message = await child.started;
  assert.equal(message.kind, 'started');
  assert.equal(await status(message.adminPort, '/readyz'), 200);
  child.process.kill('SIGTERM');
  assert.equal(await child.exit, 0, child.out());
  // Log lines come through another pipe, and may arrive in between.
  assert.match(child.out(), /drained\n(.*\n)*closed\n/);
});

test('a service that has nothing left to do drains, closes and exits 0', async () => {
  const child = launch('finishes');
  assert.equal(await child.exit, 0, child.out());
  assert.match(child.out(), /drained\n(.*\n)*closed\n/);
});

test('readiness ends while it drains; a second signal exits at once', async () => {
  const child = launch('hangs');
  const { adminPort } = await child.started;
  child.process.kill('SIGINT');
  for (let code = 200; code === 200; ) code = await status(adminPort, '/readyz');
  assert.equal(await status(adminPort, '/readyz'), 503);
  assert.equal(await status(adminPort, '/livez'), 200);
  child.process.kill('SIGINT');
  assert.equal(await child.exit, 1);
});

test('an uncaught error or a failing start is logged and exits 1; an invalid configuration exits 2', async () => {
  const children = { crashes: launch('crashes'), fails: launch('fails'), refused: launch('runs', '--port', '-1') };
  assert.equal(await children.crashes.exit, 1);
  assert.match(children.crashes.out(), /uncaughtException/);
  assert.match(children.crashes.out(), /boom/);
  assert.equal(await children.fails.exit, 1);
  assert.match(children.fails.out(), /no store/);
  assert.equal(await children.refused.exit, 2);
  assert.match(children.refused.out(), /"field":"--port","value":"-1"/);
});
