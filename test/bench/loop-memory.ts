/**
 * What the machine itself does to an event loop that is idle while other threads fill memory. On a virtual machine, memory that nobody used for a
 * while comes from the host when it is touched again, and both cores may stand still meanwhile, for a tenth of a second or more. Phases that are
 * measured afterwards get memory that is there.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { freemem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { sourceFlags } from '../support/processes.js';
import { LoopDelay, type PhaseDelay } from './loop-delay.js';

const threads = 2;
/** Of the memory that nobody uses. */
const share = 0.8;
const partBytes = 256 << 20;

/** Fills most of the free memory in a process of its own, which ends. @returns the delays of its idle loop */
export async function fillMemory(): Promise<PhaseDelay> {
  const child = fork(fileURLToPath(import.meta.url), [], { execArgv: sourceFlags });
  const ended = once(child, 'exit');
  const failed = ended.then(([code, signal]) => Promise.reject(new Error(`the process that fills memory ended with ${code ?? signal}`)));
  const [measured] = await Promise.race([once(child, 'message'), failed]);
  await ended;
  return measured as PhaseDelay;
}

async function measure(): Promise<void> {
  const parts = Math.floor((share * freemem()) / threads / partBytes);
  const fill = `const held = []; for (let k = 0; k < ${parts}; k++) held.push(new Uint8Array(${partBytes}).fill(1));`;
  const loop = new LoopDelay('memory');
  await Promise.all(Array.from({ length: threads }, () => once(new Worker(fill, { eval: true }), 'exit')));
  process.send?.(loop.close().memory satisfies PhaseDelay | undefined);
  process.disconnect();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await measure();
