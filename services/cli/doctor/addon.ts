/** Checks the addon and the executors. They are imported on demand, so that a machine without them gets a report instead of a crash. */
import type { Check } from '../commands/doctor.js';

export async function addonChecks(): Promise<Check[]> {
  return [...(await attempt('pixels', pixels)), ...(await attempt('engines', engines)), ...(await attempt('gloo', gloo))];
}

async function attempt(name: string, run: () => Promise<Check[]>): Promise<Check[]> {
  try {
    return await run();
  } catch (error) {
    return [{ name, outcome: 'fail', detail: (error as Error).message }];
  }
}

async function pixels(): Promise<Check[]> {
  const { pixelInfo } = await import('#native/pixels.js');
  const { jpeg, threads } = pixelInfo();
  const simd = !/without SIMD|plain C/i.test(jpeg);
  return [{ name: 'pixels', outcome: simd ? 'ok' : 'warn', detail: `${jpeg}, ${threads} threads` }];
}

async function engines(): Promise<Check[]> {
  const { listExecutors } = await import('#engine/index.js');
  const executors = await listExecutors();
  return executors.map(({ name, available, detail }) => ({
    name: `engine ${name}`,
    outcome: available ? 'ok' : name === 'native' ? 'fail' : 'skip',
    detail,
  }));
}

/** Gloo is needed for runs with several workers only. */
async function gloo(): Promise<Check[]> {
  const { collectivesAvailable } = await import('#collectives/index.js');
  const found = collectivesAvailable();
  if (found.available) return [{ name: 'gloo', outcome: 'ok', detail: `${found.version}: several workers can train one run` }];
  return [{ name: 'gloo', outcome: 'skip', detail: `several workers cannot train one run here: ${found.reason}` }];
}
