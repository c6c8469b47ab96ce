/** The C++ decoders in a process of their own, under a sanitizer: frames in, one line out for each. */
import { type ChildProcessByStdio, execFile, spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { renderRecord } from '#native/pixels/plan-record.js';
import type { RenderPlan, RenderSource } from '#native/pixels/plan-types.js';
import { inflateScanlines, type PngLayout } from '#native/pixels/png-scanlines.js';

const MINUTE_MS = 60_000;
/** Without an answer for this long a frame hangs, however busy the machine is. */
const SILENCE_MS = 60_000;
const source = fileURLToPath(new URL('.', import.meta.url));

export interface Frame {
  readonly source: RenderSource;
  readonly plan: RenderPlan;
  /** PNG only. */
  readonly layout?: PngLayout;
  readonly size: number;
}

export interface Answer {
  /** Of the processor. */
  readonly milliseconds: number;
  /** '' where it was decoded. */
  readonly refused: string;
}

/** The process ended, or does not answer: `report` is the sanitizer's. */
export class DecoderDied extends Error {
  override readonly name = 'DecoderDied';
  constructor(
    readonly why: string,
    readonly report: string,
  ) {
    super(`the decoder ${why}\n${report}`);
  }
}

/** Builds both programs with AddressSanitizer and UndefinedBehaviorSanitizer. @returns their folder */
export async function buildDecoders(): Promise<string> {
  const folder = join(source, '..', '..', 'libs', 'native', 'build', 'fuzz');
  const jpeg = join(fileURLToPath(import.meta.resolve('@julusian/jpeg-turbo/package.json')), '..', 'deps', 'libjpeg-turbo');
  const sanitize = '-g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined';
  const flags = ['C', 'CXX'].map((language) => `-DCMAKE_${language}_FLAGS_FUZZ=-O1 ${sanitize}`);
  const run = promisify(execFile);
  const options = { timeout: 10 * MINUTE_MS, maxBuffer: 2 ** 26 };
  await run('cmake', ['-S', source, '-B', folder, '-DCMAKE_BUILD_TYPE=Fuzz', `-DDROPSTREAM_JPEG_SOURCE=${jpeg}`, ...flags], options);
  await run('cmake', ['--build', folder, '--parallel', String(Math.min(availableParallelism(), 16))], options);
  return folder;
}

export class Decoder {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #waiting: { resolve: (answer: Answer) => void; reject: (error: Error) => void }[] = [];
  #report = '';
  #silence: NodeJS.Timeout | undefined;

  constructor(program: string) {
    this.#child = spawn(program, {
      stdio: ['pipe', 'pipe', 'pipe'],
      // More than a damaged header may ask for is refused by the decoder, not by the allocator.
      env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=1:allocator_may_return_null=0', UBSAN_OPTIONS: 'print_stacktrace=1' },
    });
    this.#child.stderr.on('data', (text) => {
      this.#report = (this.#report + text).slice(0, 20_000);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#answered(line));
    // Writing to a process that has ended: its end says more.
    this.#child.stdin.on('error', () => {});
    this.#child.on('close', (code, signal) => this.#ended(`ended with ${code ?? signal}`));
  }

  /** @throws DecoderDied */
  async decode({ source: image, plan, layout, size }: Frame): Promise<Answer> {
    const bytes = layout ? await inflateScanlines(layout) : image.bytes;
    const record = Float64Array.from(renderRecord(image, plan, layout));
    const palette = layout?.palette ?? new Uint8Array();
    const head = Uint32Array.of(record.length, bytes.length, palette.length, size);
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#watch();
      for (const part of [head, record, bytes, palette])
        this.#child.stdin.write(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
    });
  }

  /** Ends the process; leaks are reported then. @returns what the sanitizer said, '' where nothing */
  async close(): Promise<string> {
    clearTimeout(this.#silence);
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child.once('close', resolve));
      this.#child.stdin.end();
      await ended;
    }
    return this.#report;
  }

  #answered(line: string): void {
    const [milliseconds, verdict, ...reason] = line.split(' ');
    this.#waiting.shift()?.resolve({ milliseconds: Number(milliseconds), refused: verdict === 'ok' ? '' : reason.join(' ') });
    this.#watch();
  }

  #watch(): void {
    clearTimeout(this.#silence);
    if (this.#waiting.length === 0) return;
    this.#silence = setTimeout(() => {
      this.#ended(`did not answer in ${SILENCE_MS} ms`);
      this.#child.kill('SIGKILL');
    }, SILENCE_MS);
  }

  #ended(why: string): void {
    clearTimeout(this.#silence);
    for (const { reject } of this.#waiting.splice(0)) reject(new DecoderDied(why, this.#report));
  }
}
