/**
 * Encodes TensorBoard event files: TFRecord frames of Event messages. A frame is the length (uint64), its masked CRC-32C, the message and
 * the masked CRC-32C of the message, all little-endian. Only the fields of Event that scalars need are written.
 */

/** CRC-32C (Castagnoli), reflected polynomial 0x82f63b78. */
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord masks a stored CRC: it is rotated and a constant is added. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Frames one message. */
export function frame(message: Uint8Array): Buffer {
  const framed = Buffer.alloc(16 + message.byteLength);
  framed.writeBigUInt64LE(BigInt(message.byteLength), 0);
  framed.writeUInt32LE(maskedCrc32c(framed.subarray(0, 8)), 8);
  framed.set(message, 12);
  framed.writeUInt32LE(maskedCrc32c(message), 12 + message.byteLength);
  return framed;
}

/** The first message of every file. @param wallTime seconds since 1970 */
export function versionEvent(wallTime: number): Buffer {
  return frame(Buffer.concat([double(1, wallTime), bytesField(3, Buffer.from('brain.Event:2'))]));
}

/** The scalars of one step: Event{wall_time = 1, step = 2, summary = 5 {value = 1 {tag = 1, simple_value = 2}}}. */
export function scalarEvent(wallTime: number, step: number, scalars: readonly (readonly [tag: string, value: number])[]): Buffer {
  const values = scalars.map(([tag, value]) => bytesField(1, Buffer.concat([bytesField(1, Buffer.from(tag)), float(2, value)])));
  return frame(Buffer.concat([double(1, wallTime), varintField(2, step), bytesField(5, Buffer.concat(values))]));
}

function double(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(9);
  bytes[0] = (field << 3) | 1;
  bytes.writeDoubleLE(value, 1);
  return bytes;
}

function float(field: number, value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes[0] = (field << 3) | 5;
  bytes.writeFloatLE(value, 1);
  return bytes;
}

const varintField = (field: number, value: number): Buffer => Buffer.from([field << 3, ...varint(value)]);

const bytesField = (field: number, content: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([(field << 3) | 2, ...varint(content.byteLength)]), content]);

/** @param value non-negative safe integer */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return bytes;
}
