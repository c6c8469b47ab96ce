/** The device's own thread: opens the GPU, creates one program on it, and runs its calls in order. Dawn keeps this thread busy while work is pending. */
import { setTimeout as delay } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { StepCancelled } from '../executable.js';
import { DeviceMemory, OutOfDeviceMemory } from './arena.js';
import type { OpenDevice, openDevice } from './device.js';
import { DeviceProgram, type Host } from './device-program.js';
import {
  type Copy,
  FLAG_DISPOSED,
  FLAG_PARK,
  FLAG_RESTS,
  FLAG_TICKET,
  type FromDevice,
  PARK_AT_ONCE,
  PARK_AT_REST,
  type Piece,
  type Start,
  type ToDevice,
} from './messages.js';
import type { StagedPart } from './staged-images.js';
import { type ProductsToTime, timesOfTiles } from './tuning/product-times.js';
import { endsWhen, mayEnd } from './unbroken.js';

/** How often a thread that works looks whether it is to stop. */
const LOOK_MS = 5;

/** After a call has failed, how long a loss of the device may take to be reported: it is then the reason. */
const LOSS_MS = 100;

const port = parentPort!;
const { settings, spec, tiles, buffers, products, flags } = workerData as Start;

const send = (message: FromDevice, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
const sendFailure = (error: unknown, id?: number) => {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  send({ kind: 'failed', name, message, ...(id !== undefined && { id }) });
};

/** Does what the thread was started for. `openDevice` is an argument so that tests can give devices that fail. */
export async function serveDevice(open: typeof openDevice): Promise<void> {
  endsWhen(toPark);
  begins();
  let opened: OpenDevice | undefined;
  let serves = false;
  try {
    opened = await open(settings.wanted);
    if (spec !== undefined) {
      serve(opened, await DeviceProgram.create(opened, spec, tiles, settings.memoryBytes));
      serves = true;
    } else if (products !== undefined) await Promise.race([time(opened, products), lossOf(opened)]);
    else send({ kind: 'described', adapter: opened.adapter, granted: await hasMemory(opened) });
  } catch (error) {
    sendFailure(error);
  } finally {
    if (!serves) {
      opened?.close();
      port.close();
    }
    rests();
  }
}

/** @throws when the device is lost */
async function lossOf({ device, adapter }: OpenDevice): Promise<never> {
  const { reason, message } = await device.lost;
  throw Object.assign(new Error(`the GPU ${adapter.name} was lost (${reason || 'unknown'}): ${message}`), { name: 'DeviceLost' });
}

/** Ends early when nobody waits any more. */
async function time({ device, adapter }: OpenDevice, all: readonly ProductsToTime[]): Promise<void> {
  const memory = new DeviceMemory(device, adapter.name, settings.memoryBytes);
  for (const [product, one] of all.entries()) {
    const times = await timesOfTiles(device, memory, one, (tile) => {
      if (Atomics.load(flags, FLAG_DISPOSED) === 1) throw new StepCancelled();
      send({ kind: 'timing', product, tile });
    });
    send({ kind: 'timed', product, times });
  }
}

async function hasMemory({ device, adapter }: OpenDevice): Promise<boolean> {
  const memory = new DeviceMemory(device, adapter.name, settings.memoryBytes);
  try {
    for (const bytes of buffers ?? []) await memory.allocate('a buffer', bytes);
    return true;
  } catch (error) {
    if (error instanceof OutOfDeviceMemory) return false;
    throw error;
  }
}

const toPark = (): boolean => Atomics.load(flags, FLAG_PARK) !== 0;

/** Works of the thread that call Dawn. */
let works = 0;
let watch: NodeJS.Timeout | undefined;

/**
 * From here on the thread calls Dawn, until `rests`. Dawn aborts the process if its thread is ended inside one of its calls, or before it has answered
 * one. So a process that exits while the thread works lets it stop first, where it can be ended.
 */
function begins(): NodeJS.Timeout {
  works++;
  Atomics.store(flags, FLAG_RESTS, 0);
  watch ??= setInterval(stopIfAsked, LOOK_MS);
  stopIfAsked();
  return watch;
}

function rests(): void {
  works--;
  stopIfAsked();
}

function stopIfAsked(): void {
  if (Atomics.load(flags, FLAG_PARK) === PARK_AT_ONCE) Atomics.wait(flags, FLAG_PARK, PARK_AT_ONCE);
  if (!mayEnd() || (works > 0 && !toPark())) return;
  clearInterval(watch);
  watch = undefined;
  Atomics.store(flags, FLAG_RESTS, 1);
  Atomics.notify(flags, FLAG_RESTS);
  if (toPark()) Atomics.wait(flags, FLAG_PARK, PARK_AT_REST);
}

/** Runs calls until the program is disposed of or the device fails. */
function serve(open: OpenDevice, program: DeviceProgram): void {
  let answered: ((data: ArrayBuffer[]) => void) | undefined;
  let queue: Promise<void> = Promise.resolve();
  let staging: Promise<void> = Promise.resolve();
  let ended = false;

  const exchange = (message: FromDevice, transfer: ArrayBuffer[] = []): Promise<ArrayBuffer[]> =>
    new Promise((resolve) => {
      answered = resolve;
      send(message, transfer);
    });

  const run = async ({ id, ticket, call }: Extract<ToDevice, { kind: 'call' }>): Promise<void> => {
    const ask = (piece: Piece) => exchange({ kind: 'ask', id, piece });
    const host: Host = {
      async batch(batch, first, samples) {
        const [images, targets] = await ask({ batch, first, samples });
        return { images: new Float32Array(images!), targets: new Float32Array(targets!) };
      },
      ask: async (floats: number, copies: Copy[]) => new Float32Array((await ask({ floats, copies }))[0]!),
      give: async (copies, data) => void (await exchange({ kind: 'give', id, copies, data }, [data])),
      cancelled: () => Atomics.load(flags, FLAG_TICKET) !== ticket,
    };
    if (call.kind === 'dispose') {
      ended = true;
      // The thread is ended when this call returns.
      await staging;
    } else if (Atomics.load(flags, FLAG_DISPOSED) === 1) return sendFailure(new Error('The program is disposed'), id);
    // A failed device may leave the call waiting for ever, and the thread must end.
    begins().unref();
    try {
      const result = await program.run(call, ticket, host);
      const times = await program.clock?.collect();
      send({ kind: 'done', id, result, memoryBytes: program.memoryBytes, times });
    } catch (error) {
      // A lost device ends a call in many ways, as `fail` says.
      const ours = error instanceof StepCancelled || error instanceof OutOfDeviceMemory || error instanceof RangeError;
      if (!ours) await Promise.race([open.device.lost, delay(LOSS_MS)]);
      sendFailure(error, id);
    } finally {
      rests();
    }
    if (call.kind === 'dispose') port.close();
  };

  /** Parts of images, in order and beside the running call. */
  const stage = async (part: StagedPart): Promise<void> => {
    const { batch } = part;
    begins().unref();
    try {
      await program.images.write(part);
      send({ kind: 'staged', batch, memoryBytes: program.memoryBytes });
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      send({ kind: 'staged', batch, memoryBytes: program.memoryBytes, failure: { name, message } });
    } finally {
      rests();
    }
  };

  const fail = (message: string) => {
    if (ended) return;
    ended = true;
    send({ kind: 'failed', name: 'DeviceLost', message });
    begins().unref();
    open.close();
    port.close();
    rests();
  };
  open.device.lost.then(
    ({ reason, message }) => fail(`the GPU ${open.adapter.name} was lost (${reason || 'unknown'}): ${message}`),
    () => undefined,
  );
  open.device.onuncapturederror = ({ error }) => fail(`the GPU ${open.adapter.name} reported an error: ${error.message}`);
  port.on('message', (message: ToDevice) => {
    if (message.kind === 'answer') answered?.(message.data);
    else if (message.kind === 'release') program.images.release(message.batch);
    else if (message.kind === 'record') program.clock?.record(message.on);
    else if (message.kind === 'stage') staging = staging.then(() => stage(message));
    else queue = queue.then(() => run(message));
  });
  send({ kind: 'ready', memoryBytes: program.memoryBytes, times: program.clock !== undefined });
}
