/**
 * Runs one of the two clients in a process of its own, so that both go through the same scenarios. A request is a line of JSON with the operation and
 * its arguments; an answer is a line with its value or its error. When the input ends, the driver closes its client and must end by itself: what a
 * client leaves behind keeps its process alive.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';

/** What both clients say about an error. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  constructor(
    /** Name of its class. */
    readonly kind: string,
    message: string,
    /** Paths of the rejected fields. */
    readonly fields: readonly string[],
    readonly retryAfterSeconds: number | null,
  ) {
    super(`${kind}: ${message}`);
  }
}

export interface ClientBatch {
  readonly epoch: number;
  readonly index: number;
  readonly shape: readonly number[];
  /** SHA-256 of their bytes. */
  readonly images: string;
  readonly targets: string;
  readonly targetBytes: number;
  /** The stream's state after this batch, as text. */
  readonly state: string;
}

export interface Failure {
  readonly address: string;
  readonly kind: string;
  readonly retryAfterSeconds: number | null;
}

/** The operations, with their arguments and values. Messages are in the JSON form of their protos. */
export interface Operations {
  /** Opens a stream, of which one is open at a time. */
  open(args: { plan: object; format?: string; start?: string; epochs?: number; inFlight?: number; totalSeconds?: number }): null;
  next(args: object): ClientBatch | null;
  /** Begins `next`, closes the stream while it waits, and returns the class of the error. */
  closeWhileWaiting(args: object): string;
  /** Failed attempts of the stream that were made again. */
  failures(args: object): Failure[];
  close(args: object): null;
  describe(args: { manifest: string }): { samples: number; classes: number };
  preview(args: { plan: object; index: number; limit: number }): { pngs: string[]; steps: number };
  rates(args: { spec: object; steps: number[]; epochs: number; stepsPerEpoch: number }): number[];
  submit(args: { spec: object; runId?: string; requestId?: string; validateOnly?: boolean }): { name: string; uid: string };
  run(args: { run: string }): { state: string };
  cancel(args: { run: string }): { state: string };
  watch(args: { run: string; after?: number }): { sequences: number[]; kinds: string[] };
  wait(args: { run: string; timeoutSeconds?: number }): { state: string; step: number };
  evaluate(args: { checkpoint: string; timeoutSeconds?: number }): { name: string; samples: number; top1: number; loss: number };
}

type Name = keyof Operations;
type Arguments<N extends Name> = Parameters<Operations[N]>[0];
type Value<N extends Name> = ReturnType<Operations[N]>;

type Answer = { value: unknown } | { error: { kind: string; message: string; fields: string[]; retryAfterSeconds: number | null } };

export interface ClientProgram {
  readonly name: string;
  readonly command: string;
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export class Driver {
  readonly #answers: AsyncIterator<string>;
  #log = '';

  private constructor(
    private readonly program: ClientProgram,
    private readonly child: ChildProcess,
  ) {
    this.#answers = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    child.stderr!.on('data', (chunk: Buffer) => (this.#log += chunk.toString()));
  }

  /** `addresses`: DROPSTREAM_DATA and so on. Killed with the test where it does not end. */
  static start(t: Pick<TestContext, 'after'>, program: ClientProgram, addresses: Readonly<Record<string, string>>): Driver {
    const { command, argv, env } = program;
    const child = spawn(command, argv, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_TEST_CONTEXT: '', ...env, ...addresses },
    });
    t.after(() => child.kill('SIGKILL'));
    return new Driver(program, child);
  }

  /** @throws ClientError */
  async call<N extends Name>(name: N, args: Arguments<N>): Promise<Value<N>> {
    this.child.stdin!.write(`${JSON.stringify({ name, args })}\n`);
    const { value: line, done } = await this.#answers.next();
    if (done) throw new Error(`the driver of ${this.program.name} ended during ${name}:\n${this.#log}`);
    const answer = JSON.parse(line) as Answer;
    if ('value' in answer) return answer.value as Value<N>;
    const { kind, message, fields, retryAfterSeconds } = answer.error;
    throw new ClientError(kind, message, fields, retryAfterSeconds);
  }

  /** Ends its input. @returns the exit code, and what it wrote to stderr */
  async end(): Promise<{ code: number | null; log: string }> {
    const ended = once(this.child, 'exit', { signal: AbortSignal.timeout(30_000) });
    this.child.stdin!.end();
    const [code] = (await ended) as [number | null];
    return { code, log: this.#log };
  }
}
