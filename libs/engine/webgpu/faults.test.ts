/** Devices that fail: calls are rejected with the reason, the process goes on with another program, and it ends. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { webgpuEnding } from '../../../test/support/webgpu-endings.js';
import { noWebgpu } from '../../../test/support/webgpu-kernel.js';

interface Fault {
  what: string;
  /** For test/support/webgpu-faulty-worker.ts. */
  fault: string;
  ending: string;
  said: readonly RegExp[];
  /** The driver hangs: Node would wait for its thread, so the process ends itself. */
  hangs?: boolean;
}

const again = [/^again: \S/m, /^another program works$/m];
const faults: readonly Fault[] = [
  {
    what: 'is lost in a step',
    fault: 'lost submit 20',
    ending: 'the device fails in a step',
    said: [/^failed: DeviceFailed: the GPU .+ was lost \(destroyed\)/m, ...again],
  },
  {
    what: 'loses its thread in a step',
    fault: 'ended submit 20',
    ending: 'the device fails in a step',
    said: [/^failed: DeviceFailed: the thread of the GPU has ended$/m, ...again],
  },
  {
    what: 'hangs in a step',
    fault: 'hangs submit 20',
    ending: 'the device fails in a step',
    said: [/^failed: DeviceFailed: the GPU did not answer for 15 s .*may hang$/m, ...again],
    hangs: true,
  },
  {
    what: 'hangs while it is described',
    fault: 'hangs describe 1',
    ending: 'disposed',
    said: [/^failed: ExecutorUnavailable: executor webgpu is not available: the driver of the GPU did not answer for 15 s; restart/m],
    hangs: true,
  },
  {
    what: 'hangs while a program is created',
    fault: 'hangs create 1',
    ending: 'disposed',
    said: [/^failed: DeviceFailed: the GPU did not answer for 15 s/m],
    hangs: true,
  },
  ...Object.entries({ scope: 'an error scope', pipeline: 'a pipeline', work: 'the end of its work', map: 'memory to be mapped' }).map(
    ([place, awaited]) => ({
      what: `has not answered for ${awaited} when the process exits`,
      fault: `waits ${place} 1`,
      ending: 'exit at the fault',
      said: [],
    }),
  ),
];

for (const { what, fault, ending, said, hangs } of faults) {
  test(`a device that ${what}: calls fail with the reason, and the process ends by itself`, {
    skip: noWebgpu,
    timeout: 240_000,
  }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'webgpu-fault-'));
    t.after(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'once'), '');
    // The first of these tests fills the driver's cache of shaders, so that the others create programs in time.
    const end = await webgpuEnding(ending, {
      WEBGPU_FAULT: `${fault} ${join(folder, 'once')}`,
      ...(hangs && { DROPSTREAM_GPU_TIMEOUT: '15' }),
    });
    for (const one of said) assert.match(end.said, one);
    assert.deepEqual([end.code, end.signal], hangs ? [null, 'SIGKILL'] : [0, null], end.said);
  });
}
