/** Whether a JPEG is whole: a download or a copy that was cut lacks the marker behind its scans. */

const [SOF0, RST0, SOI, EOI, SOS] = [0xc0, 0xd0, 0xd8, 0xd9, 0xda];

/**
 * Looks for the end behind the first scan as libjpeg reads: segments before, between and behind scans are skipped by their lengths, so that the end of
 * a thumbnail, or two bytes of a table or a comment, are not taken for the image's. In scans, 0xFF is followed by 0, or a marker ends the scan's data.
 */
export function hasJpegEnd(bytes: Uint8Array): boolean {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let scans = 0;
  for (let at = file.indexOf(0xff, 2); at >= 0; at = file.indexOf(0xff, at)) {
    // Any number of 0xFF may come before a marker.
    while (file[at] === 0xff) at++;
    const marker = file[at++];
    if (marker === undefined || marker === EOI) return marker === EOI && scans > 0;
    // Restarts and the like have no length, and neither has what damage makes of a scan's data.
    if (marker < SOF0 || (marker >= RST0 && marker <= SOI)) continue;
    if (at + 2 > file.length) return false;
    at += Math.max(2, file.readUInt16BE(at));
    if (marker === SOS) scans++;
  }
  return false;
}
