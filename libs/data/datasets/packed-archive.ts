/** Names what lies under the name of a tar and has to be unpacked. */

/** Archives of other kinds under the name of a tar, by their first bytes. */
const PACKED: readonly (readonly [hex: string, name: string])[] = [
  ['1f8b', 'a gzip file'],
  ['425a68', 'a bzip2 file'],
  ['fd377a585a00', 'an xz file'],
  ['28b52ffd', 'a Zstandard file'],
  ['04224d18', 'an LZ4 file'],
  ['504b0304', 'a zip file'],
  ['377abcaf271c', 'a 7z file'],
];

/** What the file is and what to do, by its first 6 bytes or more; undefined for anything else. */
export function packedAs(start: Buffer): string | undefined {
  const hex = start.toString('hex', 0, 8);
  const found = PACKED.find(([bytes]) => hex.startsWith(bytes));
  return found && `it is ${found[1]}: unpack it`;
}
