/** A network of its own for every worker, where this process may make them (root, Linux), so that a worker can be cut off from all others. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ip = (...args: readonly string[]) => run('ip', [...args], { timeout: 10_000 });

/** How many may exist on one machine at the same time, so that two storms do not use the same names. */
const BRIDGE = `dsg${process.pid % 100_000}`;
const addressOf = (host: number): string => `10.${128 + (process.pid % 100)}.77.${host}`;

export interface Networks {
  /** Of this process, on which services listen that workers call. */
  readonly host: string;
  readonly canCut: boolean;
  /** @param place from 0 */
  hostOf(place: number): string;
  /** What a command begins with to run there. */
  within(place: number): readonly string[];
  cut(place: number): Promise<void>;
  mend(place: number): Promise<void>;
  close(): Promise<void>;
}

/** Everything on the loopback interface, where nothing can be cut. */
const loopback: Networks = {
  host: '127.0.0.1',
  canCut: false,
  hostOf: () => '127.0.0.1',
  within: () => [],
  cut: async () => {},
  mend: async () => {},
  close: async () => {},
};

/** The caller closes them. */
export async function openNetworks(places: number): Promise<Networks> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return loopback;
  const names = Array.from({ length: places }, (_, place) => `${BRIDGE}n${place}`);
  const close = async (): Promise<void> => {
    for (const name of names) await ip('netns', 'del', name).catch(() => {});
    await ip('link', 'del', BRIDGE).catch(() => {});
  };
  try {
    await ip('link', 'add', 'name', BRIDGE, 'type', 'bridge');
    await ip('addr', 'add', `${addressOf(1)}/24`, 'dev', BRIDGE);
    await ip('link', 'set', BRIDGE, 'up');
    for (const [place, name] of names.entries()) {
      await ip('netns', 'add', name);
      await ip('link', 'add', `${BRIDGE}v${place}`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
      await ip('link', 'set', `${BRIDGE}v${place}`, 'master', BRIDGE, 'up');
      await ip('-n', name, 'addr', 'add', `${addressOf(2 + place)}/24`, 'dev', 'eth0');
      await ip('-n', name, 'link', 'set', 'eth0', 'up');
      await ip('-n', name, 'link', 'set', 'lo', 'up');
    }
  } catch (error) {
    await close();
    console.error(`test:chaos: no network of a worker's own can be made, so nothing is cut: ${(error as Error).message}`);
    return loopback;
  }
  return {
    host: addressOf(1),
    canCut: true,
    hostOf: (place) => addressOf(2 + place),
    within: (place) => ['ip', 'netns', 'exec', names[place]!],
    // The worker's own side stays up: it does not learn of the cut.
    cut: async (place) => void (await ip('link', 'set', `${BRIDGE}v${place}`, 'nomaster')),
    mend: async (place) => void (await ip('link', 'set', `${BRIDGE}v${place}`, 'master', BRIDGE)),
    close,
  };
}
