/** Hostile requests of one RPC, several at a time, and what is wrong with the answers. */
import { type Client, type Metadata, status } from '@grpc/grpc-js';
import { metadataOf } from '#rpc/connection.js';
import { Damage } from '../fuzz/mutate.js';
import type { Aftermath } from './aftermath.js';
import { mutateRequest } from './mutate-request.js';
import { type Ending, type Method, rawCall } from './raw-call.js';
import type { Schema } from './schema.js';
import type { Tree } from './wire.js';

/** A call that takes longer hangs, unless it is quick when it is made again alone. */
const LONGEST_MS = 1000;
const TRIES_ALONE = 3;
/**
 * Streams that are left on one connection. Node's HTTP/2 ends a connection on which streams are reset too fast (1000, and 33 a second from then on), as
 * it should against CVE-2023-44487; a client would see that as INTERNAL.
 */
const MOST_LEFT = 500;
/** Calls under way at a time. */
const LANES = 16;
/** Slow calls after which nothing else is tried. */
const MOST_SLOW = 40;
const MOST_FAULTS = 5;

/** Statuses that say that the service is at fault, or is not there. */
const FAULTS: readonly status[] = [status.INTERNAL, status.UNKNOWN, status.DATA_LOSS, status.UNAVAILABLE, status.UNIMPLEMENTED];

export interface Attack {
  readonly schema: Schema;
  readonly method: Method;
  /** A connection of its own each time. */
  readonly connect: () => Client;
  readonly seeds: readonly Tree[];
  readonly names: readonly string[];
  /** Tokens to show, by caller; empty: none is shown. */
  readonly tokens: Readonly<Record<string, string>>;
  readonly mutations: number;
  readonly seed: bigint;
  /** Texts that no answer may show. */
  readonly secrets: readonly string[];
  readonly aftermath: Aftermath | undefined;
  /** Undefined while the process that is attacked lives. */
  readonly died: () => string | undefined;
}

export interface Outcome {
  /** Number of calls by the name of their status. */
  readonly codes: ReadonlyMap<string, number>;
  readonly longestMs: number;
  readonly faults: readonly string[];
  /** Calls that were too slow beside others, and quick alone. */
  readonly slowOnce: number;
}

interface Made {
  readonly number: number;
  readonly bytes: Buffer;
  readonly caller: string;
  readonly metadata: Metadata;
}

export async function attack({ method, connect, mutations, aftermath, died, ...more }: Attack): Promise<Outcome> {
  const clients = [connect()];
  const codes = new Map<string, number>();
  const faults: string[] = [];
  const slow: Made[] = [];
  let [next, longestMs] = [0, 0];
  const blame = (made: Made, why: string): void => {
    faults.push(
      `${method.name}, mutation ${made.number} as ${made.caller}: ${why}\n    request (base64): ${made.bytes.toString('base64').slice(0, 4000)}`,
    );
  };
  const judge = (made: Made, ending: Ending): void => {
    const why = wrong(ending, more.secrets);
    if (why !== undefined) blame(made, why);
  };
  const lane = async (): Promise<void> => {
    for (let number = next++; number < mutations; number = next++) {
      if (faults.length >= MOST_FAULTS || slow.length >= MOST_SLOW) return;
      const made = make(number, method, more);
      if ((method.watches || method.requestStream) && number >= MOST_LEFT * clients.length) clients.push(connect());
      const ending = await rawCall(clients.at(-1)!, method, made.bytes, made.metadata, LONGEST_MS);
      if (died() !== undefined) return blame(made, `one of the calls now under way ended the process: ${died()}`);
      const name = status[ending.code]!;
      codes.set(name, (codes.get(name) ?? 0) + 1);
      if (ending.code === status.DEADLINE_EXCEEDED) slow.push(made);
      else judge(made, ending);
      longestMs = Math.max(longestMs, ending.ms);
      if (ending.code === status.OK && ending.answer && aftermath)
        await aftermath.of(method.name, made.bytes, ending.answer).catch((error) => blame(made, `tidying up after it failed: ${error}`));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  for (const made of slow) {
    let ending: Ending | undefined;
    for (let tries = 0; tries < TRIES_ALONE; tries++) {
      ending = await rawCall(clients.at(-1)!, method, made.bytes, made.metadata, LONGEST_MS);
      if (ending.code !== status.DEADLINE_EXCEEDED) break;
    }
    if (ending?.code === status.DEADLINE_EXCEEDED) blame(made, `no end within ${LONGEST_MS} ms, ${TRIES_ALONE} times alone`);
    else if (ending) judge(made, ending);
    if (faults.length >= MOST_FAULTS) break;
  }
  for (const client of clients) client.close();
  return { codes, longestMs, faults, slowOnce: slow.length };
}

/** What must not be in an answer; undefined: all is well. */
export function wrong({ code, details, said }: Pick<Ending, 'code' | 'details' | 'said'>, secrets: readonly string[]): string | undefined {
  if (FAULTS.includes(code)) return `${status[code]} ${details}`;
  const shown = secrets.find((secret) => said.includes(secret));
  if (shown !== undefined) return `the answer shows ${JSON.stringify(shown)}: ${said}`;
  if (/\n\s+at |\.[jt]s:\d+|node_modules/.test(said)) return `the answer shows where the program is: ${said}`;
  return undefined;
}

const ODD_HEADERS: readonly Readonly<Record<string, string>>[] = [
  {},
  {},
  {},
  { 'dropstream-project': '__proto__' },
  { 'dropstream-project': 'p' },
  { traceparent: '00-zz' },
  { traceparent: '0'.repeat(5000) },
  { constructor: 'x', __proto__x: 'y' },
  { authorization: 'Bearer nonsense' },
  { authorization: 'Basic Og==' },
  { 'x-long': 'a'.repeat(6000) },
];

type Making = Pick<Attack, 'schema' | 'seeds' | 'names' | 'tokens' | 'seed'>;

function make(number: number, { name }: Method, { schema, seeds, names, tokens, seed }: Making): Made {
  const damage = new Damage(seed, hashed(name) + number);
  const bytes = mutateRequest(schema, damage, seeds, names);
  const callers = Object.keys(tokens);
  // Most show the credential with which the request would be answered.
  const caller = callers.length === 0 || damage.chance(0.1) ? 'nobody' : damage.chance(0.6) ? 'operator' : damage.pick(callers);
  const odd = damage.chance(0.1) ? damage.pick(ODD_HEADERS) : {};
  const token = tokens[caller];
  return { number, bytes, caller, metadata: metadataOf(token === undefined ? {} : { authorization: `Bearer ${token}` }, odd) };
}

/** A number for each name, far enough apart. */
function hashed(name: string): number {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.charCodeAt(0)) % 1_000_003;
  return hash * 1_000_000;
}
