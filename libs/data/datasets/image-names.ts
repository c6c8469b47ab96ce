/** Which files of a data set are taken for images by their names, and which names a manifest can hold. */

/** Endings of the formats that are read, in lower case. What a file is its first bytes say. */
export const IMAGE_ENDINGS = [
  'jpg',
  'jpeg',
  'jfif',
  'png',
  'webp',
  'gif',
  'bmp',
  'dib',
  'tif',
  'tiff',
  'ppm',
  'pgm',
  'pbm',
  'pnm',
] as const;

/** Endings of images that are not read: they are told of when a set is indexed, instead of being missing from it. */
const UNREAD_ENDINGS = ['jp2', 'j2k', 'jpx', 'jxl', 'heic', 'heif', 'avif'];

const IMAGE = new RegExp(`\\.(${[...IMAGE_ENDINGS, ...UNREAD_ENDINGS].join('|')})$`, 'i');

export const isImageName = (name: string): boolean => IMAGE.test(name);

const NOT_UTF8 = '\uFFFD';
/** C0 and C1 control characters and DEL, which no message, log line or table can show. */
const CONTROL = /\p{Cc}/u;

/** Why a manifest cannot name a file or a class so; undefined: it can. */
export function refusedName(name: string): string | undefined {
  if (name.includes(NOT_UTF8)) return 'its name is not UTF-8 text';
  if (CONTROL.test(name)) return 'its name has control characters';
  if (name.includes('\\')) return 'its name has a backslash';
  return undefined;
}

/** A name as a message can show it. */
export const shownName = (name: string): string => (CONTROL.test(name) ? JSON.stringify(name).slice(1, -1) : name);
