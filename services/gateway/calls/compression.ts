/**
 * How answers are compressed. Connect's own forms are the smallest that there are: Brotli takes 2 s for the curves of a long run, which it makes a third smaller
 * than gzip does in 10 ms. An answer is sent once, so what counts is when it has arrived.
 */
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { compressionBrotli, compressionGzip } from '@connectrpc/connect-node';

type Compression = typeof compressionGzip;

const quickGzip: Compression = {
  ...compressionGzip,
  compress: async (bytes) => new Uint8Array(await promisify(gzip)(bytes, { level: 2 })),
};
const quickBrotli: Compression = {
  ...compressionBrotli,
  compress: async (bytes) =>
    new Uint8Array(
      await promisify(brotliCompress)(bytes, {
        params: { [constants.BROTLI_PARAM_QUALITY]: 3, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length },
      }),
    ),
};

export const compressions: Compression[] = [quickGzip, quickBrotli];
