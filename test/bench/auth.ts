/**
 * npm run bench:auth: what it costs to know who calls. Scheduler processes answer GetRates with identities and without, in turns, so that what the
 * machine does besides is the same for both.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createToken } from '#auth/tokens.js';
import { DropKind, DropMode, DropSchedule } from '#protocol/dropstream/v1/schedule_types.js';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { type ConnectOptions, connect } from '#rpc/client.js';
import { makeAuthority } from '../support/certificates.js';
import { issuerUrl, jwtIssuer } from '../support/jwt-issuer.js';
import { noOpenssl } from '../support/openssl.js';
import { startService } from '../support/processes.js';
import { median, quantile, rounded } from './statistics.js';

const usage = `npm run bench:auth -- [options]

  --turns N   pairs of turns (default 30)
  --calls N   calls of GetRates in a turn, one after the other (default 1000)

The last line is one JSON object. For a static token, a JWT and a client certificate: milliseconds of a call ("latency", the median of the turns' means)
and of the server's processor ("cpu"), with identities and without, and the median of the ratios of the pairs of turns with its quartiles. The certificate
is compared with TLS without identities, the others with plain text. Nothing else should run meanwhile.`;

const parent = 'projects/bench';
const schedule = { $case: 'schedule' as const, value: `${parent}/schedules/early` };
const request = { source: schedule, length: { epochs: 300, stepsPerEpoch: 1000, depth: 12 }, steps: [0n, 1000n, 250_000n] };
const soon = { timeoutMs: 30_000 };

interface Side {
  readonly call: () => Promise<unknown>;
  /** Seconds of the processor that the server has used. */
  readonly cpu: () => Promise<number>;
}

interface Turn {
  readonly latency: number;
  readonly cpu: number;
}

async function turn({ call, cpu }: Side, calls: number): Promise<Turn> {
  const used = await cpu();
  const begun = performance.now();
  for (let k = 0; k < calls; k++) await call();
  const latency = (performance.now() - begun) / calls;
  return { latency, cpu: (1000 * ((await cpu()) - used)) / calls };
}

async function compared(without: Side, withIdentities: Side, turns: number, calls: number): Promise<object> {
  for (const side of [without, withIdentities]) await turn(side, Math.max(calls, 2000));
  const pairs: { without: Turn; with: Turn }[] = [];
  for (let k = 0; k < turns; k++) {
    // The order changes, because the second turn of a pair may find a warmer machine.
    const first = await turn(k % 2 === 0 ? without : withIdentities, calls);
    const second = await turn(k % 2 === 0 ? withIdentities : without, calls);
    pairs.push(k % 2 === 0 ? { without: first, with: second } : { without: second, with: first });
  }
  const result = (of: keyof Turn) => {
    const ratios = pairs.map((pair) => pair.with[of] / pair.without[of]);
    return {
      without: rounded(median(pairs.map((pair) => pair.without[of]))),
      with: rounded(median(pairs.map((pair) => pair.with[of]))),
      ratio: rounded(median(ratios)),
      quartiles: [rounded(quantile(ratios, 0.25)), rounded(quantile(ratios, 0.75))],
    };
  };
  return { latency: result('latency'), cpu: result('cpu') };
}

async function bench(turns: number, calls: number): Promise<object> {
  const ends: (() => unknown)[] = [];
  const after = (end: unknown): void => void ends.push(end as () => unknown);
  try {
    const folder = mkdtempSync(join(tmpdir(), 'bench-auth-'));
    ends.push(() => rmSync(folder, { recursive: true, force: true }));
    const issuer = await jwtIssuer('RS256');
    const jwt = await issuer.token({ sub: 'bench', exp: Math.floor(Date.now() / 1000) + 86_400 });
    const { id, sha256, text: token } = createToken();
    const roles = { bench: 'submitter' };
    writeFileSync(join(folder, 'jwks.json'), issuer.jwks());
    const cluster = {
      issuer: issuerUrl,
      audiences: ['dropstream'],
      keys: { file: 'jwks.json' },
      grants: [{ claim: 'sub', is: 'bench', roles }],
    };
    const principals = { bench: { roles, uris: ['spiffe://test/caller'], tokens: [{ id, sha256, created: '2026-01-01T00:00:00Z' }] } };
    const identities = join(folder, 'identities.json');
    writeFileSync(identities, JSON.stringify({ version: 1, principals, issuers: { cluster } }));

    const side = async (argv: readonly string[], options: ConnectOptions): Promise<Side> => {
      const store = ['--store', join(folder, 'store'), '--max-connection-age-ms', '0'];
      const { address, admin } = await startService({ after }, 'scheduler', [...store, ...argv]);
      const client = connect(SchedulerServiceClient, address, { ...options, retry: { attempts: 1 } });
      ends.push(() => client.close());
      return {
        call: () => client.getRates(request, soon),
        cpu: async () => {
          const page = await (await fetch(`${admin}/metrics`)).text();
          return Number(/^process_cpu_seconds_total (\S+)/m.exec(page)?.[1]);
        },
      };
    };

    const open = await startService({ after }, 'scheduler', ['--store', join(folder, 'store')]);
    const creating = connect(SchedulerServiceClient, open.address);
    const spec = { kind: DropKind.DROPOUT, rate: 0.1, mode: DropMode.EARLY, schedule: DropSchedule.LINEAR, cutoffEpoch: 50 };
    await creating.createSchedule({ parent, scheduleId: 'early', spec }, soon);
    creating.close();
    await open.end('SIGKILL');

    const plain = await side([], {});
    const result: Record<string, object> = {
      token: await compared(plain, await side(['--identities', identities], { token }), turns, calls),
      jwt: await compared(plain, await side(['--identities', identities], { token: jwt }), turns, calls),
    };
    if (noOpenssl !== false) return { ...result, certificate: { skipped: noOpenssl } };
    const authority = makeAuthority({ after }, 'authority');
    const write = (name: string, content: Buffer): string => {
      writeFileSync(join(folder, name), content);
      return join(folder, name);
    };
    const [server, own] = [authority.issue('server'), authority.issue('caller')];
    const pair = ['--tls-cert', write('server.pem', server.certificate), '--tls-key', write('server.key', server.key)];
    const known = [...pair, '--tls-client-ca', write('ca.pem', authority.certificate), '--identities', identities];
    const tls = { authority: authority.certificate };
    const [anyone, certified] = [await side(pair, { tls }), await side(known, { tls: { ...tls, ...own } })];
    return { ...result, certificate: await compared(anyone, certified, turns, calls) };
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

const { values } = parseArgs({
  options: {
    turns: { type: 'string', default: '30' },
    calls: { type: 'string', default: '1000' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) console.log(usage);
else console.log(JSON.stringify(await bench(Number(values.turns), Number(values.calls))));
