/**
 * Threads that decode the formats beside JPEG and PNG: few, started when they are needed, ended when they are idle. A file that takes too long or
 * too much memory costs its thread and nothing else.
 */
import type { Worker } from 'node:worker_threads';
import { startWorker } from '../../start-worker.js';
import type { DecodedForeign } from './decode-foreign.js';
import type { ForeignFormat } from './formats.js';

const THREADS = 2;
/** Of one image; the largest that is allowed takes about two seconds. */
const DECODE_MS = 10_000;
const IDLE_MS = 5_000;
const HEAP_MIB = 512;

interface Job {
  readonly format: ForeignFormat;
  readonly bytes: Uint8Array;
  readonly resolve: (decoded: DecodedForeign) => void;
  readonly reject: (error: Error) => void;
}

const waiting: Job[] = [];
const idle: Thread[] = [];
let threads = 0;

/** `bytes` are copied. @throws Error with what is wrong */
export function decodeInThread(format: ForeignFormat, bytes: Uint8Array): Promise<DecodedForeign> {
  return new Promise((resolve, reject) => {
    waiting.push({ format, bytes, resolve, reject });
    next();
  });
}

function next(): void {
  while (waiting.length > 0) {
    const thread = idle.pop() ?? (threads < THREADS ? new Thread() : undefined);
    if (thread === undefined) return;
    thread.run(waiting.shift() as Job);
  }
}

class Thread {
  readonly #worker: Worker;
  #job: Job | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor() {
    threads++;
    const resourceLimits = { maxOldGenerationSizeMb: HEAP_MIB };
    this.#worker = startWorker(new URL('./decode-worker.js', import.meta.url), { resourceLimits });
    this.#worker.on('message', (answer: DecodedForeign | { reason: string }) => this.#answered(answer));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => {
      threads--;
      const at = idle.indexOf(this);
      if (at >= 0) idle.splice(at, 1);
      this.#fail(new Error('the decoder ended'));
      next();
    });
  }

  run(job: Job): void {
    clearTimeout(this.#timer);
    this.#job = job;
    this.#worker.ref();
    this.#timer = setTimeout(() => {
      this.#fail(new Error(`decoding took longer than ${DECODE_MS / 1000} s`));
      void this.#worker.terminate();
    }, DECODE_MS);
    const bytes = new Uint8Array(job.bytes);
    this.#worker.postMessage({ format: job.format, bytes }, [bytes.buffer]);
  }

  #answered(answer: DecodedForeign | { reason: string }): void {
    clearTimeout(this.#timer);
    const job = this.#job;
    this.#job = undefined;
    this.#worker.unref();
    this.#timer = setTimeout(() => {
      const at = idle.indexOf(this);
      if (at >= 0) idle.splice(at, 1);
      void this.#worker.terminate();
    }, IDLE_MS).unref();
    idle.push(this);
    if ('reason' in answer) job?.reject(new Error(answer.reason));
    else job?.resolve(answer);
    next();
  }

  #fail(error: Error): void {
    clearTimeout(this.#timer);
    this.#job?.reject(error);
    this.#job = undefined;
  }
}
