/** Whether a JPEG is whole: a download or a copy that was cut lacks the marker behind its last scan. */

const [SOI, EOI, SOS] = [0xd8, 0xd9, 0xda];

/**
 * The end of the scans, found as a decoder finds it: segments by their lengths, so that the end of a thumbnail is not taken for the image's; scans by
 * their bytes, in which 0xFF is followed by 0. What follows the end is not looked at.
 */
export function hasJpegEnd(bytes: Uint8Array): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let scans = 0;
  for (let at = file.indexOf(0xff, 2); at >= 0; at = file.indexOf(0xff, at)) {
    // Any number of 0xFF may come before a marker.
    while (file[at] === 0xff) at++;
    const marker = file[at++];
    if (marker === undefined) return false;
    if (marker === EOI) return scans > 0;
    if (marker === SOI && scans > 0) return false;
    // Stuffing, restarts and the like have no length.
    if (marker <= 0x01 || (marker >= 0xd0 && marker <= SOI)) continue;
    if (at + 2 > file.length) return false;
    if (marker === SOS) scans++;
    at += Math.max(2, file.readUInt16BE(at));
  }
  return false;
}
