/** torch's .pth files: a zip of one pickle, and one entry of raw elements for each storage. */
import type { TensorData } from '#storage/tensor.js';
import type { ByteSource } from '../byte-source.js';
import type { PickleTensor, PickleValue } from './pickle-values.js';
import { PthError, quoted } from './pth-error.js';
import { MAX_PICKLE_BYTES, readPickle } from './read-pickle.js';
import { readTensor } from './read-tensor.js';
import { dataOffset, readZipDirectory, type ZipEntry } from './zip-directory.js';

export interface PthFile {
  /** What torch.save was given. */
  readonly root: PickleValue;
  /** A tensor's elements, read now. @throws PthError where they are not in the file */
  read(tensor: PickleTensor): Promise<TensorData>;
}

/** Where a file begins like this, it was written by torch before 1.6, or with _use_new_zipfile_serialization=False. */
const LEGACY_MAGIC = Buffer.from('8002 8a0a 6cfc 9c46 f920 6aa8 5019'.replaceAll(' ', ''), 'hex');
const ZIP_MAGIC = Buffer.from('PK\x03\x04', 'latin1');

/**
 * Opens a file and reads its pickle; elements of tensors stay in the file until they are asked for.
 * @throws PthError whatever the bytes are
 */
export async function openPth(source: ByteSource): Promise<PthFile> {
  const head = Buffer.from(await source.read(0, Math.min(512, source.sizeBytes)));
  if (head.subarray(0, LEGACY_MAGIC.length).equals(LEGACY_MAGIC))
    throw new PthError('', "torch's legacy format, from before torch 1.6: load it there and torch.save it again as a zip file");
  if (head.toString('latin1', 257, 262) === 'ustar')
    throw new PthError('', 'a tar file, as torch 0.1 wrote: load it there and torch.save it again');
  if (!head.subarray(0, ZIP_MAGIC.length).equals(ZIP_MAGIC))
    throw new PthError('', 'it is no zip file, which torch.save has written since torch 1.6');
  const entries = await readZipDirectory(source);
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  if (pickles.length !== 1) throw new PthError('', `${pickles.length} entries <archive>/data.pkl, where torch.save writes one`);
  const archive = pickles[0]!.slice(0, -'/data.pkl'.length);
  if (entries.has(`${archive}/constants.pkl`)) throw new PthError('', 'a TorchScript archive holds code; save the state_dict of the model');
  await checkByteOrder(source, entries.get(`${archive}/byteorder`));
  const root = readPickle(await readEntry(source, entries.get(`${archive}/data.pkl`)!, MAX_PICKLE_BYTES));
  return { root, read: (tensor) => readTensor(source, entries.get(`${archive}/data/${tensor.storage.key}`), tensor) };
}

/** Files from before torch 2.0 do not say. */
async function checkByteOrder(source: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (entry === undefined) return;
  const order = Buffer.from(await readEntry(source, entry, 16)).toString('latin1');
  if (order !== 'little') throw new PthError('byteorder', `${quoted(order)}; only little-endian files are read`);
}

async function readEntry(source: ByteSource, entry: ZipEntry, maxBytes: number): Promise<Uint8Array> {
  if (entry.sizeBytes > maxBytes)
    throw new PthError(`zip entry ${quoted(entry.name)}`, `${entry.sizeBytes} bytes, at most ${maxBytes} are allowed`);
  return source.read(await dataOffset(source, entry), entry.sizeBytes);
}
