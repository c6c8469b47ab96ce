/**
 * Files are read only inside folders that the operator allows, symbolic links resolved. A folder may be for some projects only: the innermost folder
 * that holds a path decides who may read it.
 */
import { access, constants, realpath } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { NotFound, PermissionDenied } from '#errors/errors.js';
import { mayUse, type ProjectPlace, parseProjectPlace } from './project-place.js';

/** The folders a process may read data sets from. At least one; fixed for the process's life. */
export class AllowedRoots {
  /** Absolute, links resolved. */
  readonly folders: readonly string[];

  private constructor(
    /** Absolute, links resolved; the innermost first. */
    private readonly roots: readonly ProjectPlace[],
    /** undefined: whoever runs the process, who may use them all. */
    private readonly project: string | undefined,
  ) {
    this.folders = [...new Set(roots.filter((root) => mayUse(root, project)).map(({ place }) => place))].reverse();
  }

  /** @param folders each may say which projects may use it, as project-place.ts defines @throws NotFound when a root does not exist; InvalidArgument */
  static async open(folders: readonly string[]): Promise<AllowedRoots> {
    const roots = folders.map((text) => parseProjectPlace(text, '--root'));
    const real = await Promise.all(
      roots.map(async ({ place, projects }) => ({ place: (await resolved(resolve(place))) ?? missing(place), projects })),
    );
    return new AllowedRoots(
      real.reverse().sort((a, b) => b.place.length - a.place.length),
      undefined,
    );
  }

  /** What a project may read of them; this may be nothing. */
  for(project: string): AllowedRoots {
    return new AllowedRoots(this.roots, project);
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
    const of = this.project === undefined ? '' : ` for project ${this.project}`;
    const folders = this.folders.join(', ');
    throw new PermissionDenied(path, folders === '' ? `no folder is allowed${of}` : `it is outside the allowed folders ${folders}${of}`);
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
    const around = this.roots.filter(({ place }) => path === place || isInside(place, path));
    // One folder may be given several times, for different projects.
    return around.some((root) => root.place === around[0]!.place && mayUse(root, this.project));
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
