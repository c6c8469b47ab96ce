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
  FLAG_PARKED,
  FLAG_TICKET,
  type FromDevice,
  type Piece,
  type Start,
  type ToDevice,
} from './messages.js';

const PARK_MS = 5;

/** After a call has failed, how long a loss of the device may take to be reported: it is then the reason. */
const LOSS_MS = 100;

const port = parentPort!;
const { settings, spec, buffers, flags } = workerData as Start;

const send = (message: FromDevice, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
const sendFailure = (error: unknown, id?: number) => {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  send({ kind: 'failed', name, message, ...(id !== undefined && { id }) });
};

/** Does what the thread was started for. `openDevice` is an argument so that tests can give devices that fail. */
export async function serveDevice(open: typeof openDevice): Promise<void> {
  const watch = setInterval(parkAtExit, PARK_MS);
  let opened: OpenDevice | undefined;
  try {
    opened = await open(settings.wanted);
    if (spec !== undefined) return serve(opened, await DeviceProgram.create(opened, spec, settings.memoryBytes));
    send({ kind: 'described', adapter: opened.adapter, granted: await hasMemory(opened) });
  } catch (error) {
    sendFailure(error);
  } finally {
    clearInterval(watch);
  }
  opened?.close();
  parked();
  port.close();
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

/**
 * Dawn aborts the process if its thread is ended inside one of its calls. So a process that exits while the device works lets the thread stop here
 * first, where it can be ended.
 */
function parkAtExit(): void {
  if (Atomics.load(flags, FLAG_PARK) === 0) return;
  parked();
  Atomics.wait(flags, FLAG_PARK, 1);
}

/** The thread makes no calls of Dawn any more. */
function parked(): void {
  Atomics.store(flags, FLAG_PARKED, 1);
  Atomics.notify(flags, FLAG_PARKED);
}

/** Runs calls until the program is disposed of or the device fails. */
function serve(open: OpenDevice, program: DeviceProgram): void {
  let answered: ((data: ArrayBuffer[]) => void) | undefined;
  let queue: Promise<void> = Promise.resolve();
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
    if (call.kind === 'dispose') ended = true;
    else if (Atomics.load(flags, FLAG_DISPOSED) === 1) return sendFailure(new Error('The program is disposed'), id);
    // A failed device may leave the call waiting for ever, and the thread must end.
    const watch = setInterval(parkAtExit, PARK_MS).unref();
    try {
      const result = await program.run(call, ticket, host);
      send({ kind: 'done', id, result, memoryBytes: program.memoryBytes });
    } catch (error) {
      // A lost device ends a call in many ways, as `fail` says.
      const ours = error instanceof StepCancelled || error instanceof OutOfDeviceMemory || error instanceof RangeError;
      if (!ours) await Promise.race([open.device.lost, delay(LOSS_MS)]);
      sendFailure(error, id);
    } finally {
      clearInterval(watch);
    }
    if (call.kind === 'dispose') port.close();
  };

  const fail = (message: string) => {
    if (ended) return;
    ended = true;
    send({ kind: 'failed', name: 'DeviceLost', message });
    open.close();
    port.close();
  };
  open.device.lost.then(
    ({ reason, message }) => fail(`the GPU ${open.adapter.name} was lost (${reason || 'unknown'}): ${message}`),
    () => undefined,
  );
  open.device.onuncapturederror = ({ error }) => fail(`the GPU ${open.adapter.name} reported an error: ${error.message}`);
  port.on('message', (message: ToDevice) => {
    if (message.kind === 'answer') answered?.(message.data);
    else queue = queue.then(() => run(message));
  });
  send({ kind: 'ready', memoryBytes: program.memoryBytes });
}
