/** The thread that decodes: one message in, one out. */
import { parentPort } from 'node:worker_threads';
import { decodeForeign } from './decode-foreign.js';
import type { ForeignFormat } from './formats.js';

parentPort?.on('message', ({ format, bytes }: { format: ForeignFormat; bytes: Uint8Array }) => {
  try {
    const { width, height, rgb } = decodeForeign(format, bytes);
    const own = rgb.byteLength === rgb.buffer.byteLength ? rgb : rgb.slice();
    parentPort?.postMessage({ width, height, rgb: own }, [own.buffer as ArrayBuffer]);
  } catch (error) {
    parentPort?.postMessage({ reason: error instanceof Error ? error.message : String(error) });
  }
});
