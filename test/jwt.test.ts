/** A real service whose callers have JWTs: who may do what, how access ends, and what is written down. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SchedulerServiceClient } from '#protocol/dropstream/v1/scheduler.js';
import { connect, NotFound, PermissionDenied, Unauthenticated } from '#rpc/client.js';
import { createLogger } from '#telemetry/logger.js';
import { schedulerConfig } from '../services/scheduler/config.js';
import { start } from '../services/scheduler/main.js';
import { earlyDropout as spec } from './support/early-dropout.js';
import { issuerUrl, jwtIssuer } from './support/jwt-issuer.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-jwts-'));
after(() => rmSync(folder, { recursive: true }));

test('callers with JWTs: roles by claims, streams that end with the token, and logs without it', { timeout: 60_000 }, async () => {
  const issuer = await jwtIssuer('RS256');
  const identities = join(folder, 'identities.json');
  writeFileSync(join(folder, 'jwks.json'), issuer.jwks());
  const grants = [
    { claim: 'sub', is: 'system:serviceaccount:vision:trainer', roles: { vision: 'submitter' } },
    { claim: 'groups', is: 'everyone', roles: { vision: 'viewer' } },
  ];
  const cluster = { issuer: issuerUrl, audiences: ['dropstream'], keys: { file: 'jwks.json' }, toleranceSeconds: 0, grants };
  writeFileSync(identities, JSON.stringify({ version: 1, principals: {}, issuers: { cluster } }));
  const lines: string[] = [];
  const logger = createLogger({ service: 'scheduler', level: 'trace', destination: { write: (line) => void lines.push(line) } });
  const argv = ['--port', '0', '--admin-port', '0', '--store', join(folder, 'store'), '--identities', identities, '--watch-poll-ms', '50'];
  const running = await start(schedulerConfig.parse({ argv }), { logger, processMetrics: false });
  after(() => running.close());
  const clientOf = (token: string) => {
    const client = connect(SchedulerServiceClient, `127.0.0.1:${running.port}`, { retry: { attempts: 1 }, token: () => token });
    after(() => client.close());
    return client;
  };

  const soon = { timeoutMs: 20_000 };
  const name = 'projects/vision/schedules/early';
  const tokens = {
    trainer: await issuer.token({ sub: 'system:serviceaccount:vision:trainer' }),
    guest: await issuer.token({ sub: 'guest', groups: ['everyone'], exp: Math.floor(Date.now() / 1000) + 3 }),
    nobody: await issuer.token({ sub: 'nobody', aud: 'elsewhere' }),
  };
  const [trainer, guest, nobody] = [clientOf(tokens.trainer), clientOf(tokens.guest), clientOf(tokens.nobody)];
  await trainer.createSchedule({ parent: 'projects/vision', scheduleId: 'early', spec }, soon);
  await assert.rejects(trainer.deleteSchedule({ name }, soon), PermissionDenied);
  await assert.rejects(trainer.getSchedule({ name: 'projects/audio/schedules/early' }, soon), PermissionDenied);
  await assert.rejects(trainer.getSchedule({ name: 'projects/vision/schedules/late' }, soon), NotFound);
  await assert.rejects(
    nobody.getSchedule({ name }, soon),
    (error) => error instanceof Unauthenticated && error.why === 'its token is not for this audience',
  );
  const watch = guest.watchSchedule({ name }, soon)[Symbol.asyncIterator]();
  assert.equal((await watch.next()).value.schedule.revision, 1n);
  await assert.rejects(watch.next(), (error) => error instanceof Unauthenticated && error.why === 'its token has expired');
  await assert.rejects(
    guest.getSchedule({ name }, soon),
    (error) => error instanceof Unauthenticated && error.why === 'its token has expired',
  );

  const written = lines.join('');
  assert.match(written, /"principal":"cluster:system:serviceaccount:vision:trainer"/);
  for (const token of Object.values(tokens)) for (const part of token.split('.')) assert.ok(!written.includes(part.slice(0, 40)));
});
