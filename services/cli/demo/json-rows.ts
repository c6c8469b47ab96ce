/** Reads arrays of bytes from a large JSON file `{"data":[[0,255,…],…]}` as a stream. */
import { createReadStream } from 'node:fs';

const OPEN = 0x5b;
const CLOSE = 0x5d;
const COMMA = 0x2c;
const ZERO = 0x30;
const NINE = 0x39;
const CHUNK_BYTES = 1 << 20;
/** Rows are at most this long; a longer one shows that the file is not what it should be. */
const MAX_ROW = 1 << 16;

/**
 * Yields the rows of the outermost array of arrays in order, empty rows included; the caller may keep them. Reading stops when the caller
 * stops iterating. The event loop is free between chunks of 1 MiB.
 * @throws Error naming file and byte if a value is not a whole number from 0 to 255, or the file ends early
 */
export async function* readJsonRows(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(path, { highWaterMark: CHUNK_BYTES, ...(signal && { signal }) });
  const row = new Uint8Array(MAX_ROW);
  let [depth, length, value, offset] = [0, 0, -1, 0];
  const refuse = (what: string) => new Error(`${path}, byte ${offset}: ${what}`);
  const push = () => {
    if (value < 0) return;
    if (value > 255) throw refuse(`${value} is not a byte`);
    if (length === MAX_ROW) throw refuse(`a row of more than ${MAX_ROW} values`);
    row[length++] = value;
    value = -1;
  };
  /** Parses one chunk and yields its complete rows, including those before an error. */
  const take = (chunk: Buffer): { rows: Uint8Array[]; ended?: boolean; flaw?: unknown } => {
    const rows: Uint8Array[] = [];
    try {
      for (let i = 0; i < chunk.length; i++, offset++) {
        const byte = chunk[i]!;
        if (depth === 2 && byte >= ZERO && byte <= NINE) value = value < 0 ? byte - ZERO : Math.min(1000, value * 10 + byte - ZERO);
        else if (byte === COMMA) push();
        else if (byte === OPEN) {
          if (++depth > 2) throw refuse('an array inside a row');
        } else if (byte === CLOSE) {
          push();
          if (depth-- !== 2) return { rows, ended: true };
          rows.push(row.slice(0, length));
          length = 0;
        } else if (depth === 2 && byte > 0x20) throw refuse(`"${String.fromCharCode(byte)}" in a row`);
      }
      return { rows };
    } catch (flaw) {
      return { rows, flaw };
    }
  };
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const { rows, ended, flaw } = take(chunk);
      yield* rows;
      if (flaw) throw flaw;
      if (ended) return;
    }
    throw refuse('the file ends inside the array');
  } finally {
    stream.destroy();
  }
}
