/**
 * npm run test:hostile [-- --mutations N] [--seed N] [--method NAME …]: N hostile requests of every RPC of every service (10,000 unless told otherwise)
 * through gRPC, and as many where callers need identities. No crash, no second without an answer, no INTERNAL, UNKNOWN or DATA_LOSS, and no answer
 * that shows a place on the server. Equal seeds make equal requests. `--method` takes a part of a name.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Client, credentials } from '@grpc/grpc-js';
import { policy } from '#auth/policy.js';
import { Aftermath } from './aftermath.js';
import { attack } from './attack.js';
import type { Method } from './raw-call.js';
import { Schema } from './schema.js';
import { namesOf, seedsOf } from './seeds.js';
import type { Addresses, Target } from './target.js';
import { parse } from './wire.js';

const START_MS = 120_000;
const STOP_MS = 20_000;

const { values } = parseArgs({
  options: {
    mutations: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    method: { type: 'string', multiple: true },
  },
});
const [mutations, seed] = [Number(values.mutations), BigInt(values.seed)];
if (!(mutations >= 1)) throw new RangeError(`--mutations: ${values.mutations} is not allowed; allowed: at least 1`);

async function start(): Promise<{ child: ChildProcess; target: Target; died: () => string | undefined }> {
  const child = fork(fileURLToPath(new URL('./target.ts', import.meta.url)), [], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  let [death, printed]: [string | undefined, string] = [undefined, ''];
  child.stderr!.on('data', (text) => {
    printed = `${printed}${text}`.slice(-4000);
  });
  child.once('exit', (code, signal) => {
    death = `it ended with ${code ?? signal}\n${printed}`;
  });
  const [target] = await Promise.race([
    once(child, 'message', { signal: AbortSignal.timeout(START_MS) }),
    once(child, 'exit').then(() => Promise.reject(new Error(`the services did not start: ${printed}`))),
  ]);
  return { child, target: target as Target, died: () => death };
}

function methodOf(name: string): Method {
  const reflection = name.startsWith('grpc.reflection.');
  const watches = /\/(Watch|Stream)/.test(name);
  return { name, watches, requestStream: reflection, responseStream: reflection || watches || name.endsWith('/GetBatch') };
}

const { child, target, died } = await start();
const schema = Schema.read();
const seeds = seedsOf(target);
const missing = [...policy.keys()].filter((name) => seeds[name] === undefined);
if (missing.length > 0) throw new Error(`no valid request of ${missing.join(', ')}`);
const names = namesOf(target);
const aftermath = new Aftermath(target);
const service = (name: string): keyof Addresses =>
  name.startsWith('externalscaler.')
    ? 'trainer'
    : name.includes('.GroupService/')
      ? 'worker'
      : ((['data', 'scheduler', 'trainer', 'evaluator'] as const).find((one) => name.toLowerCase().includes(`.${one}service`)) ??
        'scheduler');
const chosen = [...policy.keys()].filter((name) => values.method?.some((part) => name.includes(part)) ?? true);
const faults: string[] = [];
let calls = 0;
const began = performance.now();
for (const name of chosen) {
  for (const way of ['open', 'known'] as const) {
    const from = performance.now();
    // Clients of one address share a connection otherwise.
    const options = { 'grpc.use_local_subchannel_pool': 1 };
    const connect = () => new Client(target.addresses[way][service(name)], credentials.createInsecure(), options);
    const outcome = await attack({
      ...{ schema, method: methodOf(name), connect, names, mutations, seed, aftermath, died },
      seeds: seeds[name]!.map((bytes) => parse(schema, schema.requests.get(name) ?? '', bytes)),
      tokens: way === 'known' ? target.tokens : {},
      secrets: [target.folder],
    });
    faults.push(...outcome.faults);
    const made = [...outcome.codes.values()].reduce((sum, count) => sum + count, 0);
    calls += made;
    const seconds = (performance.now() - from) / 1000;
    const codes = [...outcome.codes].sort(([, a], [, b]) => b - a).map(([code, count]) => `${code} ${count}`);
    const slow = outcome.slowOnce > 0 ? `, ${outcome.slowOnce} slow beside others` : '';
    console.log(
      `${name.replace(/^dropstream\.v1\./, '')} (${way}): ${made} in ${seconds.toFixed(1)} s, the longest ${Math.round(outcome.longestMs)} ms${slow}: ${codes.join(', ')}`,
    );
    for (const fault of outcome.faults) console.log(`  FAULT ${fault}`);
    if (died() !== undefined) break;
  }
  if (died() !== undefined) break;
}
aftermath.close();
if (died() === undefined) {
  const ended = once(child, 'exit', { signal: AbortSignal.timeout(STOP_MS) });
  child.disconnect();
  await ended.catch(() => {
    faults.push('the services did not end');
    child.kill('SIGKILL');
  });
} else faults.push(`the process of the services: ${died()}`);
console.log(
  `${calls} hostile requests of ${chosen.length} methods in ${Math.round((performance.now() - began) / 1000)} s: ${faults.length} faults`,
);
process.exitCode = faults.length === 0 ? 0 : 1;
