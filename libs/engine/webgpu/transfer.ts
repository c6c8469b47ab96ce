/** Copies parameters between the arrays of the caller, on the other thread, and a buffer of the device. */
import type { DeviceMemory, ParameterPlaces } from './arena.js';
import { MAP_MODE_READ, USAGE } from './arena.js';
import type { Copy } from './messages.js';
import { unbroken } from './unbroken.js';

/** The arrays of a call, one per parameter that it names. */
export interface HostArrays {
  /** Floats that are put together from the arrays. */
  ask(floats: number, copies: Copy[]): Promise<Float32Array>;
  give(copies: Copy[], data: ArrayBuffer): Promise<void>;
}

/** 16 MB: a few milliseconds of either thread. */
const PIECE_FLOATS = 1 << 22;

interface PlacedPiece {
  /** In the device's buffer, in floats. */
  offset: number;
  floats: number;
  copies: Copy[];
}

/** Pieces that are contiguous on the device: several parameters that follow each other, or a part of one. */
export function piecesOf({ offsets, sizes }: ParameterPlaces, parameters: readonly number[], most = PIECE_FLOATS): PlacedPiece[] {
  const pieces: PlacedPiece[] = [];
  for (const [array, parameter] of parameters.entries()) {
    const [offset, size] = [offsets[parameter], sizes[parameter]];
    if (offset === undefined || size === undefined) throw new RangeError(`there is no parameter ${parameter}`);
    const last = pieces.at(-1);
    const follows = last !== undefined && parameters[array - 1] === parameter - 1 && offset + size - last.offset <= most;
    if (follows) {
      last.copies.push({ array, begin: 0, at: offset - last.offset, length: size });
      last.floats = offset + size - last.offset;
      continue;
    }
    for (let begin = 0; begin < size; begin += most) {
      const length = Math.min(most, size - begin);
      pieces.push({ offset: offset + begin, floats: length, copies: [{ array, begin, at: 0, length }] });
    }
  }
  return pieces;
}

export async function readParameters(
  device: GPUDevice,
  memory: DeviceMemory,
  from: GPUBuffer,
  places: ParameterPlaces,
  parameters: readonly number[],
  host: HostArrays,
): Promise<undefined> {
  const pieces = piecesOf(places, parameters);
  const most = Math.max(0, ...pieces.map(({ floats }) => floats));
  const staging = await memory.allocate('parameters to read', 4 * most, USAGE.MAP_READ | USAGE.COPY_DST);
  try {
    for (const { offset, floats, copies } of pieces) {
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(from, 4 * offset, staging, 0, 4 * floats);
      device.queue.submit([encoder.finish()]);
      await unbroken(() => staging.mapAsync(MAP_MODE_READ));
      const data = staging.getMappedRange().slice(0, 4 * floats);
      staging.unmap();
      await host.give(copies, data);
    }
  } finally {
    memory.free(staging);
  }
  return undefined;
}

export async function writeParameters(
  device: GPUDevice,
  into: GPUBuffer,
  places: ParameterPlaces,
  parameters: readonly number[],
  host: HostArrays,
): Promise<undefined> {
  for (const { offset, floats, copies } of piecesOf(places, parameters)) {
    device.queue.writeBuffer(into, 4 * offset, await host.ask(floats, copies));
    await unbroken(() => device.queue.onSubmittedWorkDone());
  }
  return undefined;
}
