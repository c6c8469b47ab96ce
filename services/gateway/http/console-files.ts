/**
 * The files of the console, from the folder that its build has written. They are read once and held with their compressed forms; a later build is
 * noticed by its index.html. Only what is in the folder has a path, so no path leads out of it.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

/** Seen from the sources, and from compiled code in dist/services/gateway/http. */
const places = ['../console/dist', '../../../../services/gateway/console/dist'];

/** Where the build writes them; undefined: it has not. */
const consoleFolder = (): string | undefined =>
  places.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((folder) => existsSync(join(folder, 'index.html')));

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};
const compressible = /^(text|application|image\/svg)/;
/** Names of bundlers: a dot or a hyphen, and then a hash of the content. */
const hashed = /[.-][A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;
const MAX_FILES = 500;
const MAX_BYTES = 32 << 20;

type Encoding = 'br' | 'gzip' | 'identity';

export interface ConsoleFile {
  readonly type: string;
  readonly etag: string;
  /** Whether another content has another name. */
  readonly isLasting: boolean;
  /** In the best form that the header accept-encoding allows. */
  in(accepted: string): Promise<{ readonly encoding: Encoding; readonly bytes: Buffer }>;
}

export class ConsoleFiles {
  #files: ReadonlyMap<string, ConsoleFile> = new Map();
  #version = '';

  constructor(private readonly find: () => string | undefined = consoleFolder) {}

  /** @param path e.g. `/assets/index-1a2b3c4d.js`; `/` is index.html */
  at(path: string): ConsoleFile | undefined {
    if (path === '/') this.#look();
    else if (this.#version === '') this.#look();
    return this.#files.get(path === '/' ? '/index.html' : path);
  }

  #look(): void {
    const folder = this.find();
    const version = folder === undefined ? '' : versionOf(join(folder, 'index.html'));
    if (version === this.#version) return;
    this.#version = version;
    this.#files = folder === undefined || version === '' ? new Map() : readFolder(folder);
  }
}

function versionOf(index: string): string {
  try {
    const { mtimeMs, size, ino } = statSync(index);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return '';
  }
}

function readFolder(folder: string): Map<string, ConsoleFile> {
  const files = new Map<string, ConsoleFile>();
  let total = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || entry.name.endsWith('.map')) continue;
    const full = join(entry.parentPath, entry.name);
    const content = readFileSync(full);
    total += content.length;
    if (files.size >= MAX_FILES || total > MAX_BYTES) throw new Error(`${folder} has more than ${MAX_FILES} files or ${MAX_BYTES} bytes`);
    files.set(full.slice(folder.length).split(sep).join('/'), fileOf(entry.name, content));
  }
  return files;
}

function fileOf(name: string, content: Buffer): ConsoleFile {
  const type = types[extname(name)] ?? 'application/octet-stream';
  const forms = new Map<Encoding, Promise<Buffer>>([['identity', Promise.resolve(content)]]);
  const form = (encoding: Encoding): Promise<Buffer> => {
    const known = forms.get(encoding);
    if (known) return known;
    const made = encoding === 'br' ? toBrotli(content) : toGzip(content);
    forms.set(encoding, made);
    return made;
  };
  return {
    type,
    etag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`,
    isLasting: hashed.test(name),
    in: async (accepted) => {
      const encoding = compressible.test(type) ? best(accepted) : 'identity';
      return { encoding, bytes: await form(encoding) };
    },
  };
}

const toBrotli = (content: Buffer): Promise<Buffer> =>
  promisify(brotliCompress)(content, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
  });
const toGzip = (content: Buffer): Promise<Buffer> => promisify(gzip)(content, { level: 9 });

function best(accepted: string): Encoding {
  const names = accepted.split(',').flatMap((part) => {
    const [name = '', ...parameters] = part.split(';').map((word) => word.trim());
    return parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter)) ? [] : [name];
  });
  return names.includes('br') ? 'br' : names.includes('gzip') ? 'gzip' : 'identity';
}
