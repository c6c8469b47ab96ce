/** Tar archives for tests: ustar, with pax or GNU extensions for what does not fit. Not used by services. */

export interface TarFile {
  readonly name: string;
  readonly bytes?: Uint8Array;
  /** Default '0', a regular file. */
  readonly type?: string;
}

export type TarFlavour = 'ustar' | 'gnu' | 'pax';

export function tarBytes(files: readonly TarFile[], flavour: TarFlavour = 'ustar'): Buffer {
  return Buffer.concat([...files.map((file) => member(file, flavour)), Buffer.alloc(1024)]);
}

function member({ name, bytes = new Uint8Array(), type = '0' }: TarFile, flavour: TarFlavour): Buffer {
  const long = Buffer.byteLength(name) > 100;
  const extension = !long
    ? []
    : flavour === 'gnu'
      ? [member({ name: '././@LongLink', bytes: Buffer.from(`${name}\0`), type: 'L' }, flavour)]
      : [];
  if (long && flavour === 'pax')
    extension.push(member({ name: 'PaxHeaders/x', bytes: Buffer.from(paxRecord('path', name)), type: 'x' }, flavour));
  const padding = Buffer.alloc((512 - (bytes.byteLength % 512)) % 512);
  return Buffer.concat([...extension, header(name, bytes.byteLength, type, flavour), bytes, padding]);
}

/** The length of a record counts its own digits. */
export function paxRecord(key: string, value: string): string {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest;
  while (rest + String(length).length !== length) length = rest + String(length).length;
  return `${length} ${key}=${value}\n`;
}

export function header(name: string, sizeBytes: number, type = '0', flavour: TarFlavour = 'ustar'): Buffer {
  const block = Buffer.alloc(512);
  const slash = name.length > 100 && flavour === 'ustar' ? name.lastIndexOf('/', 155) : -1;
  block.write(slash > 0 ? name.slice(slash + 1) : name, 0, 100, 'utf8');
  block.write('0000644\0', 100);
  block.write('0001000\0', 108);
  block.write('0001000\0', 116);
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124);
  block.write('14000000000\0', 136);
  block.write(type, 156);
  block.write(flavour === 'gnu' ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
  if (slash > 0) block.write(name.slice(0, slash), 345, 155, 'utf8');
  return sealed(block);
}

/** With the checksum of what it holds. */
export function sealed(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}
