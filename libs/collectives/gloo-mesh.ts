import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { orAborted } from '#bounds/or-aborted.js';
import { loadAddon, type MeshHandle } from './addon.js';
import { type Mesh, MeshAborted, MeshFailed, type MeshOptions } from './mesh.js';
import { encodeProgram, FIRST_OWN_TAG, type Instruction, type MeshProgram } from './mesh-program.js';
import { meetOthers, SECRET_FLOATS } from './rendezvous.js';

const INTRODUCTION_TAG = FIRST_OWN_TAG - 1;

/**
 * Connects a member with all others over Gloo: leaves its address in the store, waits for those of the others, and proves to each that it has read the
 * store. The same TCP connections then serve all transfers.
 * @throws CollectivesAbsent if the addon is not there; MeshFailed if a member did not connect in time; MeshAborted
 */
export async function connectMesh(options: MeshOptions): Promise<Mesh> {
  const { rank, size, host, connectTimeoutMs, signal } = options;
  const addon = loadAddon();
  if (signal.aborted) throw new MeshAborted(textOf(signal.reason), { cause: signal.reason });
  const mesh = new GlooMesh(options, addon.meshCreate(rank, size, connectTimeoutMs, options.transferTimeoutMs));
  const late = new AbortController();
  const timer = setTimeout(() => {
    late.abort(new MeshFailed(undefined, `it did not connect within ${connectTimeoutMs} ms`));
    mesh.abort('it did not connect in time');
  }, connectTimeoutMs);
  try {
    const either = AbortSignal.any([late.signal, mesh.ended]);
    // Looked up here because Gloo would do it in a way that no signal ends.
    const { address } = await orAborted(lookup(host), either);
    await mesh.connect(address, either);
    return mesh;
  } catch (error) {
    const { failure } = mesh;
    mesh.abort('connecting failed');
    await mesh.close();
    if (!late.signal.aborted) throw failure ?? error;
    const peer = error instanceof MeshFailed ? error.peer : error instanceof MeshAborted ? peerOf(error.cause) : undefined;
    throw new MeshFailed(peer, `it did not connect within ${connectTimeoutMs} ms`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

class GlooMesh implements Mesh {
  readonly rank: number;
  readonly size: number;
  readonly #addon = loadAddon();
  readonly #ended = new AbortController();
  #running = 0;
  #failure: MeshAborted | MeshFailed | undefined;
  #closed: Promise<void> | undefined;

  constructor(
    private readonly options: MeshOptions,
    private readonly handle: MeshHandle,
  ) {
    this.rank = options.rank;
    this.size = options.size;
    options.signal.addEventListener('abort', this.#onSignal, { once: true });
  }

  /** Aborts when the mesh does. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get failure(): MeshAborted | MeshFailed | undefined {
    return this.#failure;
  }

  async connect(address: string, signal: AbortSignal): Promise<void> {
    const { store } = this.options;
    const secret = randomBytes(4 * SECRET_FLOATS);
    const addresses = await this.#call(this.#addon.meshOpen(this.handle, address));
    const others = await meetOthers(store, { rank: this.rank, size: this.size, secret, addresses }, signal);
    await this.#call(
      this.#addon.meshConnect(
        this.handle,
        others.map((other) => other.address),
      ),
    );
    await this.#introduce(
      secret,
      others.map((other) => other.secret),
    );
  }

  send(to: number, tag: number, values: Float32Array): Promise<void> {
    return this.#transfer('send', to, tag, values);
  }

  receive(from: number, tag: number, into: Float32Array): Promise<void> {
    return this.#transfer('receive', from, tag, into);
  }

  async run(program: MeshProgram, arrays: readonly Float32Array[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (program.instructions.length === 0) return;
    const code = encodeProgram(program, arrays.length);
    await this.#call(this.#addon.meshRun(this.handle, code, program.scratch, program.subnormals === 'flush', arrays));
  }

  abort(reason: string, options?: ErrorOptions): void {
    if (this.#failure !== undefined || this.#closed !== undefined) return;
    this.#end(new MeshAborted(reason, options));
    this.#addon.meshAbort(this.handle);
  }

  close(): Promise<void> {
    if (this.#running > 0) this.abort('the mesh is closed');
    this.options.signal.removeEventListener('abort', this.#onSignal);
    this.#failure ??= new MeshAborted('the mesh is closed');
    this.#closed ??= this.#addon.meshClose(this.handle);
    return this.#closed;
  }

  readonly #onSignal = () => {
    const { reason } = this.options.signal;
    this.abort(textOf(reason), { cause: reason });
  };

  /** Each proves to each that it has read what the other left in the store: whoever only reached a port cannot. */
  async #introduce(secret: Buffer, secrets: readonly Buffer[]): Promise<void> {
    const instructions: Instruction[] = [];
    for (const kind of ['receive', 'send'] as const)
      for (let peer = 0; peer < this.size; peer++)
        if (peer !== this.rank)
          instructions.push({
            kind,
            peer,
            tag: INTRODUCTION_TAG,
            place: { array: kind === 'send' ? 0 : 1, offset: peer * SECRET_FLOATS },
            count: SECRET_FLOATS,
          });
    const [sent, received] = [new Float32Array(this.size * SECRET_FLOATS), new Float32Array(this.size * SECRET_FLOATS)];
    const bytes = Buffer.from(sent.buffer);
    for (const [peer, theirs] of secrets.entries()) theirs.copy(bytes, peer * secret.length);
    await this.run({ instructions, scratch: 0, subnormals: 'keep' }, [sent, received]);
    for (let peer = 0; peer < this.size; peer++)
      if (peer !== this.rank && !Buffer.from(received.buffer, peer * secret.length, secret.length).equals(secret))
        throw new MeshFailed(peer, 'whoever connected in its place has not read the store');
  }

  async #transfer(kind: 'send' | 'receive', peer: number, tag: number, values: Float32Array): Promise<void> {
    if (!Number.isInteger(tag) || tag < 0 || tag >= INTRODUCTION_TAG)
      throw new RangeError(`tag is ${tag}, must be a whole number below ${INTRODUCTION_TAG}`);
    if (values.length === 0) return;
    const one: Instruction = { kind, peer, tag, place: { array: 0, offset: 0 }, count: values.length };
    await this.run({ instructions: [one], scratch: 0, subnormals: 'keep' }, [values]);
  }

  /** The result of a call of the addon, or the error that ended the mesh first. */
  async #call<T>(result: Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await result;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const peer = peerOf(error);
      if (code === 'ERR_MESH_FAILED') this.#end(new MeshFailed(peer, message, { cause: error }));
      else if (code === 'ERR_MESH_ABORTED' && this.#failure instanceof MeshAborted)
        throw new MeshAborted(this.#failure.reason, { cause: error });
      else if (code !== 'ERR_MESH_ABORTED') throw error;
      throw this.#failure ?? error;
    } finally {
      this.#running--;
    }
  }

  /** The first failure is the one that counts: others follow from it. */
  #end(failure: MeshAborted | MeshFailed): void {
    if (this.#failure !== undefined) return;
    this.#failure = failure;
    this.#ended.abort(failure);
  }
}

const textOf = (reason: unknown): string => (reason instanceof Error ? reason.message : String(reason));

/** The member that the addon was waiting for when a call failed. */
const peerOf = (error: unknown): number | undefined => (error as { peer?: number } | undefined)?.peer;
