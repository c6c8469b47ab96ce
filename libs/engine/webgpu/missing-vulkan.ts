/** Why Linux has no Vulkan adapter: the loader, the driver, or the right to use the card, in the order in which they are needed. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';

/** What is looked at. Tests have other machines. */
export interface Machine {
  env: Readonly<Record<string, string | undefined>>;
  home: string;
  exists(path: string): boolean;
  /** Names in a folder; none if there is no such folder. */
  list(folder: string): readonly string[];
  mayOpen(path: string): boolean;
}

const LOADER = 'libvulkan.so.1';
const libraries = [
  ...['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib', '/usr/local/lib'],
  ...['/lib/x86_64-linux-gnu', '/lib/aarch64-linux-gnu', '/lib64', '/lib'],
];
const configurations = ['/etc', '/usr/local/etc', '/usr/share', '/usr/local/share'];

/** What is missing and what to do, as one clause; undefined if everything seems to be there. */
export function missingForVulkan(machine: Machine = thisMachine): string | undefined {
  const { env, exists, list, mayOpen } = machine;
  const found = [...(env.LD_LIBRARY_PATH ?? '').split(delimiter).filter((folder) => folder !== ''), ...libraries];
  if (!found.some((folder) => exists(join(folder, LOADER))))
    return `${LOADER} is missing; install the Vulkan loader (package libvulkan1 or vulkan-loader)`;
  const drivers = driversOf(machine);
  const nvidia = exists('/dev/nvidiactl');
  if (nvidia && !drivers.some((driver) => driver.includes('nvidia')))
    return "there is an NVIDIA card, but not its Vulkan driver; install NVIDIA's driver, or start the container with NVIDIA_DRIVER_CAPABILITIES=graphics,compute";
  if (drivers.length === 0) return 'there is no Vulkan driver; install that of the GPU (docs/gpu.md)';
  const cards = list('/dev/dri').filter((name) => name.startsWith('renderD'));
  const closed = cards.find((name) => !mayOpen(join('/dev/dri', name)));
  if (closed !== undefined)
    return `this process may not open /dev/dri/${closed}; give its user, or the container, the group of that device`;
  if (!nvidia && cards.length === 0)
    return 'there is no /dev/dri/renderD*, so there is no card; in a container, start it with --device /dev/dri';
  return undefined;
}

/** The files that name drivers, as the loader finds them. */
function driversOf({ env, home, exists, list }: Machine): string[] {
  const named = env.VK_DRIVER_FILES ?? env.VK_ICD_FILENAMES;
  if (named !== undefined) return named.split(delimiter).filter(exists);
  const folders = [...configurations, env.XDG_CONFIG_HOME ?? join(home, '.config'), env.XDG_DATA_HOME ?? join(home, '.local', 'share')];
  return folders.flatMap((folder) => list(join(folder, 'vulkan', 'icd.d'))).filter((name) => name.endsWith('.json'));
}

const thisMachine: Machine = {
  env: process.env,
  home: homedir(),
  exists: existsSync,
  list(folder) {
    try {
      return readdirSync(folder);
    } catch {
      return [];
    }
  },
  mayOpen(path) {
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
      return true;
    } catch {
      return false;
    }
  },
};
