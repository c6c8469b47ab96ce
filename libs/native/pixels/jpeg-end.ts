/** Whether a JPEG is whole: a download or a copy that was cut lacks the marker behind its scans. */

const [SOI, EOI, SOS] = [0xd8, 0xd9, 0xda];

/**
 * Looks for the end behind the beginning of the first scan. Segments before it are skipped by their lengths, so that the end of a thumbnail is not taken
 * for the image's. In scans, where 0xFF is followed by 0, the first end is theirs; other markers may stand there by damage that decoders overlook.
 */
export function hasJpegEnd(bytes: Uint8Array): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = file.indexOf(0xff, 2); at >= 0; at = file.indexOf(0xff, at)) {
    // Any number of 0xFF may come before a marker.
    while (file[at] === 0xff) at++;
    const marker = file[at++];
    if (marker === undefined || marker === EOI) return false;
    // Restarts and the like have no length.
    if (marker <= 0x01 || (marker >= 0xd0 && marker <= SOI)) continue;
    if (at + 2 > file.length) return false;
    at += Math.max(2, file.readUInt16BE(at));
    if (marker === SOS) return file.indexOf(END, at) >= 0;
  }
  return false;
}

const END = Buffer.from([0xff, EOI]);
