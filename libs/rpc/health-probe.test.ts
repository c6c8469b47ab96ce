import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startHealthProbe } from './health-probe.js';

test('two failures in a row set NOT_SERVING, one success sets SERVING; nothing happens after close', async () => {
  const script = [true, false, true, false, false, false, true, true];
  const changes: boolean[] = [];
  const failed: number[] = [];
  let probes = 0;
  let finished = (): void => {};
  const done = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const health = startHealthProbe({
    probe: async () => {
      const ok = script[probes++];
      if (probes === script.length) finished();
      if (!ok) throw new Error('down');
    },
    setServing: (serving) => changes.push(serving),
    onFailure: (_, inARow) => failed.push(inARow),
    intervalMs: 1,
  });
  await done;
  await sleep(0);
  health.close();
  const atClose = probes;
  await sleep(20);
  assert.ok(probes <= atClose + 1);
  assert.deepEqual(changes, [false, true]);
  assert.deepEqual(failed.slice(0, 4), [1, 1, 2, 3]);
});

test('a probe that hangs counts as failed', async () => {
  // AbortSignal.timeout does not keep a process alive; the server of a service does.
  const alive = setInterval(() => {}, 1000);
  const health = await new Promise<{ close(): void }>((resolve) => {
    const started = startHealthProbe({
      probe: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      setServing: (serving) => {
        assert.equal(serving, false);
        resolve(started);
      },
      onFailure: () => {},
      intervalMs: 1,
      timeoutMs: 5,
    });
  });
  health.close();
  clearInterval(alive);
});
