/** Images by name, out of a tar of images or a folder with tars and images in it. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { tarFiles } from './image-fixtures.js';

export class ImageSet {
  /** Bytes by full name inside the tar or folder; read at the first question. */
  #files: Map<string, Uint8Array | string> | undefined;

  /** Folders and tars in the order they are searched in; what does not exist is left out. */
  constructor(readonly places: readonly string[]) {}

  /** `name`: the path inside, or the file's name with or without its ending. Throws where it is nowhere. */
  find(name: string): Uint8Array {
    this.#files ??= this.#index();
    const read = (image: Uint8Array | string) => (typeof image === 'string' ? new Uint8Array(readFileSync(image)) : image);
    const exact = this.#files.get(name);
    if (exact !== undefined) return read(exact);
    for (const [path, image] of this.#files) {
      const base = path.split('/').at(-1) as string;
      if (base === name || base.replace(/\.[^.]+$/, '') === name) return read(image);
    }
    throw new Error(`image ${name} is in none of ${this.places.join(', ')} (--images, DROPSTREAM_SHARED)`);
  }

  #index(): Map<string, Uint8Array | string> {
    const files = new Map<string, Uint8Array | string>();
    const add = (name: string, image: Uint8Array | string) => {
      if (!files.has(name)) files.set(name, image);
    };
    for (const place of this.places.filter((path) => existsSync(path))) {
      if (!statSync(place).isDirectory()) {
        for (const [name, bytes] of tarFiles(place, () => true)) add(name, bytes);
        continue;
      }
      const inside = readdirSync(place, { recursive: true, encoding: 'utf8' }).sort();
      for (const path of inside.filter((name) => /\.(jpe?g|png)$/i.test(name))) add(path.replaceAll('\\', '/'), join(place, path));
      for (const path of inside.filter((name) => name.endsWith('.tar'))) {
        for (const [name, bytes] of tarFiles(join(place, path), () => true)) add(name, bytes);
      }
    }
    return files;
  }
}
