/**
 * Every secret is replaced while a run trains and 50 watchers follow it, as operators do it: authorities are added, certificates and tokens replaced,
 * and then the old ones removed. Watchers that are still valid are not dropped, new ones are admitted, and old ones refused.
 */
import assert from 'node:assert/strict';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createToken, type NewToken } from '#auth/tokens.js';
import { runEvents } from '#client/run-events.js';
import { RunState, TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { type ClientTls, connect, Unauthenticated, Unavailable } from '#rpc/client.js';
import { callerTls } from '#rpc/tls/caller-tls.js';
import { makeAuthority, type Pair, SecretMount } from './support/certificates.js';
import { noOpenssl } from './support/openssl.js';
import { TrainingServices } from './support/training-services.js';
import { until } from './support/until.js';

const soon = { timeoutMs: 10_000, idempotent: false };

interface Watcher {
  /** Sequence numbers of the events that it has seen. */
  readonly seen: number[];
  /** Why it ended; undefined: it watches. */
  ended?: unknown;
}

/** Files of a service or a caller. */
function mount(services: TrainingServices, name: string, files: Record<string, Buffer | string>): SecretMount {
  const folder = join(services.folder, name);
  mkdirSync(folder);
  return new SecretMount(folder, files);
}

const pair = ({ certificate, key }: Pair) => ({ 'tls.crt': certificate, 'tls.key': key });

test('50 watchers of a run while every secret is replaced', { timeout: 120_000, skip: noOpenssl }, async (t) => {
  const services = await TrainingServices.open({ train: 48, test: 20 });
  t.after(() => services.close());
  // `old` is replaced by `next`; `kept` is another team's authority, which stays.
  const [old, next, kept] = [makeAuthority(t, 'old'), makeAuthority(t, 'next'), makeAuthority(t, 'kept')];
  const bundle = (...authorities: { certificate: Buffer }[]) => Buffer.concat(authorities.map(({ certificate }) => certificate));
  const files = (own: Pair, ...authorities: { certificate: Buffer }[]) => ({ ...pair(own), 'ca.crt': bundle(...authorities) });
  const secrets = mount(services, 'secrets', files(old.issue('services'), old, kept));
  const shared = ['--tls-cert', secrets.at('tls.crt'), '--tls-key', secrets.at('tls.key'), '--tls-client-ca', secrets.at('ca.crt')];

  const [staying, leaving, coming, ofServices, ofServicesLater] = Array.from({ length: 5 }, createToken) as [
    NewToken,
    NewToken,
    ...NewToken[],
  ];
  const identities = join(services.folder, 'identities.json');
  const admit = (watchers: readonly NewToken[], theirs: readonly NewToken[]): void => {
    const listed = (tokens: readonly NewToken[]) => tokens.map(({ id, sha256 }) => ({ id, sha256, created: '2026-01-01T00:00:00Z' }));
    const principals = {
      watcher: { roles: { p: 'operator' }, tokens: listed(watchers) },
      dropstream: { roles: { '*': 'service' }, tokens: listed(theirs) },
    };
    writeFileSync(`${identities}.new`, JSON.stringify({ version: 1, principals }));
    renameSync(`${identities}.new`, identities);
  };
  admit([staying, leaving], [ofServices!]);
  const tokens = mount(services, 'tokens', { services: ofServices!.text });

  const known = [...shared, '--identities', identities];
  const { address: data } = await services.dataReplica(0, known);
  const calls = ['--tls-ca', secrets.at('ca.crt'), '--token-file', tokens.at('services'), '--data', data];
  const { service } = await services.trainer([...known, ...calls]);
  const address = `127.0.0.1:${service.port}`;

  const client = (tls: ClientTls | (() => ClientTls), token: NewToken) => {
    const opened = connect(TrainerServiceClient, address, { tls, token: token.text });
    t.after(() => opened.close());
    return opened;
  };
  const authority = bundle(old, next);
  const keptTls = (name: string): ClientTls => ({ authority, ...kept.issue(name) });
  const first = client(keptTls('first'), staying);
  // Longer than the rest of the test; it is cancelled then.
  const { run } = await first.createRun(
    { parent: 'projects/p', runId: 'long', spec: services.spec({ epochs: 5000 }) },
    { timeoutMs: 20_000 },
  );
  const name = run!.name;

  const stop = new AbortController();
  t.after(() => stop.abort());
  const { signal } = stop;
  const collect = (sequences: AsyncIterable<bigint>): Watcher => {
    const watcher: Watcher = { seen: [] };
    const end = (why: unknown): void => {
      watcher.ended ??= why ?? 'the end of the run';
    };
    (async () => {
      for await (const sequence of sequences) watcher.seen.push(Number(sequence));
    })().then(end, end);
    return watcher;
  };
  /** One stream, which is not opened again. */
  async function* oneStream(opened: ReturnType<typeof client>) {
    for await (const { event } of opened.watchRun({ name }, { signal })) if (event) yield event.sequence;
  }
  const watch = (opened: ReturnType<typeof client>): Watcher => collect(oneStream(opened));
  /** The library's watching, which connects again. */
  async function* connectingAgain(opened: ReturnType<typeof client>) {
    for await (const { sequence } of runEvents(opened, name, { signal })) yield sequence;
  }
  const several = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, index) => make(index));
  const keptPairs = several(4, (index) => keptTls(`kept-${index}`));
  const steady = several(40, (index) => watch(client(keptPairs[index % 4]!, staying)));
  const moving = several(4, (index) => {
    const own = mount(services, `caller-${index}`, files(old.issue(`caller-${index}`), old, next));
    const paths = { tlsCa: own.at('ca.crt'), tlsCert: own.at('tls.crt'), tlsKey: own.at('tls.key') };
    return { own, index, watcher: collect(connectingAgain(client(callerTls(paths)!, staying))) };
  });
  const oldTls: ClientTls = { authority, ...old.issue('gone') };
  const ofOldAuthority = several(3, () => ({ opened: client(oldTls, staying) })).map((one) => ({ ...one, watcher: watch(one.opened) }));
  const revoked = several(3, (index) => ({ opened: client(keptPairs[index]!, leaving) })).map((one) => ({
    ...one,
    watcher: watch(one.opened),
  }));
  const all = [...steady, ...[...moving, ...ofOldAuthority, ...revoked].map(({ watcher }) => watcher)];
  assert.equal(all.length, 50);
  await until('the first events at every watcher', () => all.every(({ seen }) => seen.length > 2), { looks: 3000 });

  /** Looks for at most 5 s plus the time of a call, and reports how long it took. */
  const soonTrue = async (what: string, find: () => unknown): Promise<void> => {
    const begun = performance.now();
    await until(what, async () => Boolean(await find()), { looks: 100, pauseMs: 50 });
    t.diagnostic(`${what}: after ${Math.round(performance.now() - begun)} ms`);
  };
  const answers = (tls: ClientTls, token: NewToken): Promise<boolean> => {
    const opened = client(tls, token);
    return opened.getRun({ name }, soon).then(
      () => true,
      () => false,
    );
  };

  // What is new is added beside the old.
  const nextTls: ClientTls = { authority, ...next.issue('new') };
  assert.deepEqual([await answers(nextTls, staying), await answers(oldTls, coming!)], [false, false]);
  admit([staying, leaving, coming!], [ofServices!, ofServicesLater!]);
  await soonTrue('a new token is admitted', () => answers(oldTls, coming!));
  secrets.replace(files(old.issue('services'), old, next, kept));
  await soonTrue('a certificate of a new authority is admitted', () => answers(nextTls, coming!));

  // Everybody who goes on gets what is new.
  tokens.replace({ services: ofServicesLater!.text });
  secrets.replace(files(next.issue('services'), old, next, kept));
  await soonTrue('the new server certificate is shown', () => answers({ ...nextTls, authority: next.certificate }, coming!));
  for (const { own, index } of moving) own.replace(files(next.issue(`caller-${index}`), old, next));

  // What is old is removed.
  secrets.replace(files(next.issue('services'), next, kept));
  await soonTrue('streams of the old authority end', () => ofOldAuthority.every(({ watcher }) => watcher.ended !== undefined));
  admit([staying, coming!], [ofServicesLater!]);
  await soonTrue('streams of a revoked token end', () => revoked.every(({ watcher }) => watcher.ended !== undefined));
  for (const { watcher, opened } of ofOldAuthority) {
    assert.ok(watcher.ended instanceof Unavailable, String(watcher.ended));
    await assert.rejects(opened.getRun({ name }, soon), Unavailable);
  }
  for (const { watcher, opened } of revoked) {
    assert.ok(watcher.ended instanceof Unauthenticated, String(watcher.ended));
    await assert.rejects(opened.getRun({ name }, soon), Unauthenticated);
  }
  assert.deepEqual([await answers(oldTls, staying), await answers(nextTls, leaving)], [false, false]);

  // The run goes on, with batches through the new certificates, and everybody else sees the rest of it.
  const step = (await first.getRun({ name }, soon)).run!.step;
  await until('more steps', async () => (await first.getRun({ name }, soon)).run!.step > step + 6n, { looks: 200, pauseMs: 50 });
  await first.cancelRun({ name }, soon);
  const staying44 = [...steady, ...moving.map(({ watcher }) => watcher)];
  await until('the end of the run at every watcher', () => staying44.every(({ ended }) => ended !== undefined), { looks: 3000 });
  const { state, logSequence } = (await first.getRun({ name }, soon)).run!;
  assert.equal(state, RunState.CANCELLED);
  for (const { ended, seen } of staying44) {
    assert.equal(ended, 'the end of the run');
    assert.deepEqual(
      seen,
      several(Number(logSequence), (index) => index + 1),
      'every event once, in order',
    );
  }
});
