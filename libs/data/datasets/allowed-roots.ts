/** Files are read only inside folders that the operator allows, symbolic links resolved. */
import { access, constants, realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { NotFound, PermissionDenied } from '#errors/errors.js';

/** The folders a process may read data sets from. At least one; fixed for the process's life. */
export class AllowedRoots {
  private constructor(
    /** Absolute, links resolved. */
    readonly folders: readonly string[],
  ) {}

  /** @throws NotFound when a root does not exist */
  static async open(folders: readonly string[]): Promise<AllowedRoots> {
    return new AllowedRoots(await Promise.all(folders.map(async (folder) => (await resolved(resolve(folder))) ?? missing(folder))));
  }

  /**
   * The real path of a file or folder. A relative path is taken from the first root that has it.
   * @throws NotFound, PermissionDenied when it is outside the roots or a link leads there
   */
  async resolve(path: string): Promise<string> {
    const candidates = isAbsolute(path) ? [path] : this.folders.map((folder) => resolve(folder, path));
    // What lies outside by name alone is refused before the disk is asked, so that nothing can be probed.
    const inside = candidates.filter((candidate) => this.#contains(resolve(candidate)));
    const reals = await Promise.all((inside.length > 0 || !isAbsolute(path) ? inside : candidates).map(resolved));
    const real = reals.find((one) => one !== undefined && this.#contains(one));
    if (real !== undefined) return real;
    if (inside.length > 0 && reals.every((one) => one === undefined)) return missing(path);
    return this.refuse(path);
  }

  /** For whoever resolves links itself. @throws PermissionDenied when an absolute path is outside the roots by name alone */
  checkName(path: string): void {
    if (!this.#contains(resolve(path))) this.refuse(path);
  }

  /** @throws PermissionDenied */
  refuse(path: string): never {
    throw new PermissionDenied(path, `it is outside the allowed folders ${this.folders.join(', ')}`);
  }

  /** @throws when a root cannot be read now (a mount that went away) */
  async check(): Promise<void> {
    await Promise.all(this.folders.map((folder) => access(folder, constants.R_OK | constants.X_OK)));
  }

  /** Whether a real path lies inside. */
  has(realPath: string): boolean {
    return this.#contains(realPath);
  }

  #contains(path: string): boolean {
    return this.folders.some((folder) => path === folder || isInside(folder, path));
  }
}

/** Whether `path` lies strictly inside `folder`; both are absolute. */
export function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

function missing(path: string): never {
  throw new NotFound('file or folder', path);
}

async function resolved(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
