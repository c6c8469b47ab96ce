import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeAuthority } from '../../../test/support/certificates.js';
import { until } from '../../../test/support/until.js';
import { health } from '../doctor/surroundings.js';
import { commandLineEntry, nodeOptions } from '../service-entry.js';
import { Backoff } from './backoff.js';
import { forwardLine } from './forward-line.js';
import { LogFile } from './log-file.js';
import { type ChildEvent, SupervisedChild } from './supervised-child.js';

const folder = await mkdtemp(join(tmpdir(), 'dropstream-up-'));
after(() => rm(folder, { recursive: true, force: true }));

/** A real scheduler as a supervised child. */
function scheduler(argv: string[], events: ChildEvent[], lines: string[] = []) {
  return new SupervisedChild({
    name: 'scheduler',
    argv: [commandLineEntry, 'serve', 'scheduler', ...argv],
    ports: { port: 0, adminPort: 0 },
    env: process.env,
    cwd: folder,
    graceMs: 10_000,
    onLine: (line) => lines.push(line),
    onEvent: (event) => events.push(event),
  });
}

/** For 30 s. */
const slowly = { looks: 600, pauseMs: 50 };
const gone = (pid: number) => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};

test('a child that is killed comes back on the same ports, and stops when asked', async () => {
  const events: ChildEvent[] = [];
  const child = scheduler(['--store', join(folder, 'store')], events);
  try {
    const ports = await child.start();
    const address = `127.0.0.1:${ports.port}`;
    assert.equal(await health(address), true);
    const first = child.pid!;
    process.kill(first, 'SIGKILL');
    await until('the restart', () => events.filter((e) => e.kind === 'started').length === 2, slowly);
    assert.notEqual(child.pid, first);
    assert.deepEqual(child.ports, ports);
    assert.equal(child.restarts, 1);
    assert.equal(await health(address), true);
    assert.deepEqual(
      events.map((e) => e.kind),
      ['started', 'died', 'started'],
    );
  } finally {
    await child.stop();
  }
  assert.ok(gone(child.pid!));
  const last = events.at(-1)!;
  assert.deepEqual([last.kind, 'how' in last && last.how], ['stopped', 'exit code 0'], 'it drained');
});

test('a child says whether its port speaks TLS', async (t) => {
  const { certificate, key } = makeAuthority(t, 'services').issue('scheduler');
  await Promise.all([writeFile(join(folder, 'tls.crt'), certificate), writeFile(join(folder, 'tls.key'), key)]);
  const store = ['--store', join(folder, 'store')];
  for (const [argv, tls] of [
    [['--tls-cert', join(folder, 'tls.crt'), '--tls-key', join(folder, 'tls.key')], true],
    [[], false],
  ] as const) {
    const child = scheduler([...store, ...argv], []);
    try {
      await child.start();
      assert.equal(child.tls, tls);
    } finally {
      await child.stop();
    }
  }
});

test('a refused configuration is an error with the reason, not an endless restart', async () => {
  const events: ChildEvent[] = [];
  const child = scheduler(['--store', join(folder, 'store'), '--watch-poll-ms', '0'], events);
  await assert.rejects(child.start(), /scheduler ended with exit code 2 before it was ready:[\s\S]*watch-poll-ms/);
  assert.deepEqual(
    events.map((e) => e.kind),
    ['stopped'],
  );
});

test('children end when their parent is killed', async () => {
  const script = join(folder, 'parent.mts');
  const source = new URL('./supervised-child.ts', import.meta.url).href;
  await writeFile(
    script,
    `import { SupervisedChild } from ${JSON.stringify(source)};
     const child = new SupervisedChild({ name: 's', argv: ${JSON.stringify([commandLineEntry, 'serve', 'scheduler', '--store', join(folder, 'orphan')])},
       ports: { port: 0, adminPort: 0 }, env: process.env, cwd: ${JSON.stringify(process.cwd())}, graceMs: 1000, onLine() {}, onEvent() {} });
     await child.start();
     console.log(child.pid);`,
  );
  const parent = spawn(process.execPath, [...nodeOptions(), script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(parent.stdout!, 'data')) as [Buffer];
  const pid = Number(line.toString());
  assert.ok(!gone(pid));
  parent.kill('SIGKILL');
  await until('the orphan to end', () => gone(pid), slowly);
});

test('three restarts are at once, waits grow from a quarter of a second to a quarter of a minute, and none is left after a long life', () => {
  const backoff = new Backoff();
  assert.deepEqual(
    Array.from({ length: 10 }, () => backoff.next(100)),
    [0, 0, 0, 250, 500, 1000, 2000, 4000, 8000, 15_000],
  );
  assert.equal(backoff.next(60_000), 0);
  assert.deepEqual([backoff.next(100), backoff.next(100), backoff.next(100)], [0, 0, 250]);
});

test('a log file does not grow beyond its bound', async () => {
  const file = new LogFile(join(folder, 'logs', 'x.log'), 100);
  for (let k = 0; k < 40; k++) file.write(`line ${k} ..........`);
  file.close();
  assert.deepEqual(await readdir(join(folder, 'logs')), ['x.log', 'x.log.1']);
  const all = (await Promise.all(['x.log', 'x.log.1'].map((name) => readFile(join(folder, 'logs', name), 'utf8')))).join('');
  assert.ok(all.length < 300 && all.includes('line 39 '));
});

test('lines are shown from a level on', () => {
  const shown: string[] = [];
  const terminal = { err: (line: string) => void shown.push(line) };
  const line = (level: string) => JSON.stringify({ level, time: '2026-01-01T00:00:00.000Z', service: 'data', msg: `a ${level}` });
  for (const level of ['info', 'warn', 'error', 'fatal']) forwardLine(terminal, 'data-1', line(level), 'warn');
  forwardLine(terminal, 'data-1', 'Segmentation fault', 'warn');
  forwardLine(terminal, 'data-1', 'Segmentation fault', 'silent');
  assert.equal(shown.length, 4);
  assert.match(shown[0]!, /^data-1: .*a warn/);
  assert.equal(shown[3], 'data-1: Segmentation fault');
});
