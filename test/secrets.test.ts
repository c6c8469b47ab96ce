/**
 * Secrets that somebody gives where they do not belong, in every form, through options, variables, files, addresses, headers and requests, appear in
 * nothing that is printed, logged, stored, counted or answered.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  create,
  createFileRegistry,
  type DescField,
  type DescMessage,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, type ServiceError } from '@grpc/grpc-js';
import type { Command } from 'commander';
import fc from 'fast-check';
import * as errors from '#errors/errors.js';
import { metadataOf } from '#rpc/connection.js';
import type { AnyMethod } from '#rpc/handlers.js';
import { mapLowerErrors } from '#rpc/map-lower-errors.js';
import type { RunningService } from '#rpc/start-service.js';
import { fromServiceError, toStatus } from '#rpc/status.js';
import { InvalidStoreUri, openStore } from '#storage/open-store.js';
import { createLogger } from '#telemetry/logger.js';
import { describeFailure } from '#work/attempt-end.js';
import { describeError } from '../services/cli/exit-codes.js';
import { main } from '../services/cli/main.js';
import { createProgram } from '../services/cli/program.js';
import { dataConfig, dataOptions } from '../services/data/config.js';
import { start as startData } from '../services/data/main.js';
import { evaluatorConfig, evaluatorOptions } from '../services/evaluator/config.js';
import { start as startEvaluator } from '../services/evaluator/main.js';
import { schedulerConfig, schedulerOptions } from '../services/scheduler/config.js';
import { start as startScheduler } from '../services/scheduler/main.js';
import { trainerConfig, trainerOptions } from '../services/trainer/config.js';
import { start as startTrainer } from '../services/trainer/main.js';
import { everyService } from './support/every-service.js';
import { type CarriedSecret, carriedSecret, everyForm, leaks } from './support/secrets.js';

const folder = mkdtempSync(join(tmpdir(), 'dropstream-secrets-'));
after(() => rmSync(folder, { recursive: true }));
// What is no URI is taken for the name of a file or a folder.
process.chdir(folder);
const timeout = 120_000;
const seed = 15;

const services = {
  data: { config: dataConfig, options: dataOptions, start: startData, more: ['--root', folder] },
  scheduler: { config: schedulerConfig, options: schedulerOptions, start: startScheduler, more: [] },
  trainer: { config: trainerConfig, options: trainerOptions, start: startTrainer, more: ['--role', 'api'] },
  evaluator: { config: evaluatorConfig, options: evaluatorOptions, start: startEvaluator, more: ['--role', 'api'] },
} as const;
type Name = keyof typeof services;

function logged() {
  const lines: string[] = [];
  const logger = createLogger({ service: 'test', level: 'trace', destination: { write: (line) => void lines.push(line) } });
  return { lines, logger };
}

/** Everything in which an error is shown to somebody. */
function shownError(thrown: unknown): string[] {
  const error = mapLowerErrors(thrown) ?? thrown;
  const { lines, logger } = logged();
  // As a process says why it does not start.
  if (error instanceof errors.InvalidArgument)
    for (const { field, value, allowed } of error.violations) logger.fatal({ field, value, allowed }, 'configuration refused');
  logger.fatal({ error }, 'start failed');
  const { details, metadata } = toStatus(error, (unexpected) => logger.error({ error: unexpected }, 'unexpected error'));
  const status = { code: 3, details, metadata, name: 'x', message: details } as unknown as ServiceError;
  const bytes = metadata.get('grpc-status-details-bin').map((value) => Buffer.from(value).toString('latin1'));
  return [...lines, details, ...bytes, String(fromServiceError(status).message), describeError(error), describeFailure(error)];
}

/** What was found; a test looks through everything before it fails. */
class Found {
  readonly #leaks: string[] = [];

  look(what: string, written: readonly string[], secret: CarriedSecret): void {
    const [first] = leaks(written, secret);
    if (first !== undefined) this.#leaks.push(`${secret.form} through ${what}: ${first}`);
  }

  assertNone(): void {
    assert.deepEqual(this.#leaks.slice(0, 20), [], `${this.#leaks.length} leaks`);
  }
}

const assertNone = (what: string, written: readonly string[], secret: CarriedSecret): void =>
  assert.deepEqual(leaks(written, secret), [], `${secret.form} through ${what}`);

test('errors of every class, log lines and records hold no secret, whatever stands around it', () => {
  const piece = fc.string({ maxLength: 30 });
  fc.assert(
    fc.property(carriedSecret, piece, piece, (secret, front, back) => {
      const text = `${front} ${secret.text} ${back}`;
      const cause = new Error(text);
      const all = [
        errors.invalid('name', text, text),
        errors.invalid('name', `${'x'.repeat(100)} ${text}`, text),
        new errors.NotFound('run', text, { why: text }),
        new errors.AlreadyExists('run', text, text),
        new errors.Aborted('run', text, text),
        new errors.FailedPrecondition('run', text, text, { cause }),
        new errors.ResourceExhausted(text, text),
        new errors.NeverFits(text, text, text),
        new errors.DataLoss(text, text),
        new errors.Unavailable(text, 1, { cause }),
        new errors.PermissionDenied(text, text),
        new errors.Unauthenticated(text),
        new InvalidStoreUri(text, text),
        cause,
        text,
      ];
      for (const error of all) assertNone(String((error as Error).name), shownError(error), secret);
      const { lines, logger } = logged();
      logger.info({ uri: secret.text, deep: { list: [text, { text }] }, headers: { authorization: secret.text } }, text);
      assertNone('a log line', lines, secret);
      assert.doesNotThrow(() => JSON.parse(lines[0]!));
    }),
    { numRuns: 100, seed },
  );
});

test('every option of every service, by flag, variable and file, also where it is cut off', () => {
  const found = new Found();
  const forms = everyForm(seed);
  let turn = 0;
  for (const [name, { config, options, more }] of Object.entries(services)) {
    const parse = (what: string, secret: CarriedSecret, argv: string[], env: Record<string, string> = {}): void => {
      try {
        config.parse({ argv: ['--store', folder, ...more, ...argv], env });
      } catch (error) {
        found.look(`${name} ${what}`, shownError(error), secret);
      }
    };
    const file = join(folder, 'config.json');
    for (const option of Object.keys(options)) {
      const flag = `--${option.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
      const variable = `DROPSTREAM_${flag.slice(2).replaceAll('-', '_').toUpperCase()}`;
      // Each option gets some of the forms, in turns, so that every form is tried with many options.
      for (let k = 0; k < 3; k++) {
        const secret = forms[turn++ % forms.length]!;
        for (const value of [secret.text, `${'x'.repeat(90)} ${secret.text}`]) {
          parse(flag, secret, [flag, value]);
          parse(`${flag}=`, secret, [`${flag}=${value}`]);
          parse(variable, secret, [], { [variable]: value });
          writeFileSync(file, JSON.stringify({ [option]: value, nested: { value } }));
          parse(`${option} in a file`, secret, ['--config', file]);
        }
      }
    }
    for (const secret of forms)
      for (const odd of ['--secret-key', '--password', '--no-such'])
        for (const argv of [[odd, secret.text], [`${odd}=${secret.text}`], [secret.text], ['--config', secret.text]])
          parse(argv.join(' '), secret, argv);
    // A secret whose form says nothing is known by the name that it is given under.
    const plain = { form: 'named', text: '', secrets: ['Zq7plainly-hidden'] };
    const [value] = plain.secrets as [string];
    writeFileSync(file, JSON.stringify({ secretKey: value, 's3-secret-key': value, sessionToken: { value } }));
    for (const argv of [['--secret-key', value], [`--s3-secret-key=${value}`], [`password=${value}`], ['--config', file]])
      parse(argv[0]!, plain, argv);
  }
  found.assertNone();
});

test('the help of services does not show the environment', () => {
  for (const secret of everyForm(seed)) {
    const before = process.env.DROPSTREAM_STORE;
    process.env.DROPSTREAM_STORE = secret.text;
    try {
      for (const { config } of Object.values(services)) assertNone('help', [config.help()], secret);
    } finally {
      if (before === undefined) delete process.env.DROPSTREAM_STORE;
      else process.env.DROPSTREAM_STORE = before;
    }
  }
});

test('stores, files and addresses that are secrets, where a service starts with them', { timeout }, async () => {
  const found = new Found();
  const places = {
    data: ['--store', '--source', '--root', '--identities', '--audit-log', '--tls-ca'],
    scheduler: ['--store', '--identities', '--audit-log', '--tls-cert', '--token-file', '--host', '--admin-host'],
    trainer: ['--store', '--scheduler', '--evaluator', '--data', '--token-file', '--tls-ca'],
    evaluator: ['--store', '--data', '--token-file', '--tls-ca'],
  };
  for (const secret of everyForm(seed))
    for (const [name, flags] of Object.entries(places) as [Name, string[]][])
      for (const flag of flags) {
        const { lines, logger } = logged();
        const written: string[] = [];
        const { config, start, more } = services[name];
        const free = ['--port', '0', '--admin-port', '0', ...(flag === '--tls-cert' ? ['--tls-key', secret.text] : [])];
        const argv = [...free, '--store', join(folder, 'store'), ...more, flag, secret.text];
        try {
          const signal = AbortSignal.timeout(1000);
          const running = await (start as (config: unknown, options: object) => Promise<RunningService>)(config.parse({ argv }), {
            logger,
            processMetrics: false,
            signal,
          });
          await running.close();
        } catch (error) {
          written.push(...shownError(error));
        }
        // An audit may have been opened under the name.
        found.look(`${name} ${flag}`, [...lines, ...written], secret);
      }
  found.assertNone();
});

test('a store says nothing of its credentials', { timeout }, async () => {
  for (const secret of everyForm(seed)) {
    const env = {
      DROPSTREAM_S3_ACCESS_KEY: 'AKIA',
      DROPSTREAM_S3_SECRET_KEY: secret.secrets[0]!,
      DROPSTREAM_S3_SESSION_TOKEN: secret.text,
    };
    for (const uri of ['s3://bucket/prefix?endpoint=http://127.0.0.1:1', `s3://bucket/${encodeURIComponent(secret.text)}`, secret.text])
      try {
        const signal = AbortSignal.timeout(2000);
        await (await openStore(uri.startsWith('s3:') ? uri : `s3://b?x=${uri}`, { env, signal, limits: { attempts: 1 } })).close();
      } catch (error) {
        assertNone('the environment of a store', shownError(error), secret);
      }
  }
});

/** Commands that go on until they are stopped, or work for long. */
const lasting = new Set(['demo', 'up', 'serve', 'tune']);

function leaves(command: Command, path: readonly string[] = []): { path: readonly string[]; command: Command }[] {
  return command.commands.length === 0 ? [{ path, command }] : command.commands.flatMap((one) => leaves(one, [...path, one.name()]));
}

test('every option and argument of every command, and the variables', { timeout }, async () => {
  const found = new Found();
  const home = join(folder, 'home');
  mkdirSync(home);
  const run = async (argv: readonly string[], env: Record<string, string> = {}): Promise<string[]> => {
    const written: string[] = [];
    const write = (line: string): void => void written.push(line);
    const terminal = { out: write, err: write, status: write, interactive: false, color: false, columns: 80 };
    const addresses = Object.fromEntries(
      ['DATA', 'SCHEDULER', 'TRAINER', 'EVALUATOR'].map((name) => [`DROPSTREAM_${name}`, '127.0.0.1:1']),
    );
    const base = { DROPSTREAM_HOME: home, DROPSTREAM_STORE: join(folder, 'store'), DROPSTREAM_DEBUG: '1', ...addresses };
    await main(argv, { terminal, env: { ...base, ...env }, cwd: home, signal: AbortSignal.timeout(300) });
    return written;
  };
  const terminal = { out: () => {}, err: () => {}, status: () => {}, interactive: false, color: false, columns: 80 };
  const program = createProgram({ terminal, env: {}, cwd: home, signal: AbortSignal.abort() });
  const all = leaves(program).filter(({ path }) => !lasting.has(path[0]!));
  assert.ok(all.length > 20, `${all.length} commands`);
  const forms = everyForm(seed);
  let turn = 0;
  // Each place gets some of the forms, in turns, so that every form is tried in many places.
  const some = (): CarriedSecret[] => Array.from({ length: 1 }, () => forms[turn++ % forms.length]!);
  for (const { path, command } of all) {
    const given = command.registeredArguments.filter(({ required }) => required).map(() => 'x');
    const places: [string, (text: string) => string[]][] = [
      ...given.map((_, k): [string, (text: string) => string[]] => [
        `argument ${k + 1}`,
        (text) => [...path, ...given.map((value, other) => (other === k ? text : value))],
      ]),
      ...command.options
        .filter((option) => option.required || option.optional)
        .map((option): [string, (text: string) => string[]] => [option.long!, (text) => [...path, ...given, option.long!, text]]),
      ['an unknown option', (text) => [...path, ...given, `--password=${text}`]],
      ['one argument more', (text) => [...path, ...given, text]],
    ];
    await Promise.all(
      places.flatMap(([place, argv]) =>
        some().map(async (secret) => found.look(`${path.join(' ')}, ${place}`, await run(argv(secret.text)), secret)),
      ),
    );
  }
  const variables = ['DROPSTREAM_TOKEN', 'DROPSTREAM_TOKEN_FILE', 'DROPSTREAM_STORE', 'DROPSTREAM_SCHEDULER', 'DROPSTREAM_TLS_CA'];
  for (const variable of variables)
    await Promise.all(
      forms.flatMap((secret) =>
        [
          ['schedule', 'list'],
          ['doctor', '--json'],
          ['store', 'check'],
        ].map(async (argv) => found.look(`${variable} of ${argv[0]}`, await run(argv, { [variable]: secret.text }), secret)),
      ),
    );
  found.assertNone();
});

const descriptors = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(new URL('../libs/protocol/descriptors.binpb', import.meta.url))),
);

/** A message in which every string is the text; of a oneof, the first field that can hold one. */
function filled(desc: DescMessage, text: string, depth = 0): Message {
  const made = create(desc);
  const fields = made as unknown as Record<string, unknown>;
  for (const field of desc.fields) {
    const value = filledField(field, text, depth);
    if (value === undefined) continue;
    if (field.oneof === undefined) fields[field.localName] = value;
    else if ((fields[field.oneof.localName] as { case?: string }).case === undefined)
      fields[field.oneof.localName] = { case: field.localName, value };
  }
  return made;
}

function filledField(field: DescField, text: string, depth: number): unknown {
  const isText = (scalar: ScalarType | undefined): boolean => scalar === ScalarType.STRING;
  if (field.fieldKind === 'scalar') return isText(field.scalar) ? text : undefined;
  if (field.fieldKind === 'map') return isText(field.scalar) && isText(field.mapKey) ? { [text]: text } : undefined;
  if (field.fieldKind === 'list' && isText(field.scalar)) return [text];
  return field.fieldKind === 'message' && depth < 5 ? filled(field.message, text, depth + 1) : undefined;
}

/** The request of a method, e.g. `/dropstream.v1.TrainerService/CreateRun`. */
function requestOf(path: string, text: string): Buffer {
  const [, service = '', name = ''] = path.split('/');
  const { input } = descriptors.getService(service)!.methods.find((method) => method.name === name)!;
  return Buffer.from(toBinary(input, filled(input, text)));
}

/** GroupService is what workers of runs serve; there is no work in the store. */
const worker = { ...services.trainer, more: ['--role', 'worker', '--data', '127.0.0.1:1'] };
const running = new Map<Name | 'worker', RunningService>();
const serviceLogs = logged();
const audits: string[] = [];
before(async () => {
  for (const [name, { config, start, more }] of Object.entries({ ...services, worker }) as [Name | 'worker', (typeof services)[Name]][]) {
    const audit = join(folder, `${name}-audit.log`);
    audits.push(audit);
    const argv = ['--port', '0', '--admin-port', '0', '--store', join(folder, 'served'), '--audit-log', audit, ...more];
    const options = { logger: serviceLogs.logger, processMetrics: false };
    running.set(name, await (start as (config: unknown, options: object) => Promise<RunningService>)(config.parse({ argv }), options));
  }
});
after(async () => {
  for (const service of running.values()) await service.close();
});

test('headers and every string of every request, in answers, logs, audits and metrics', { timeout }, async () => {
  const found = new Found();
  const same = (bytes: Buffer): Buffer => bytes;
  let called = 0;
  for (const secret of everyForm(seed)) {
    const printable = secret.text.replaceAll('\n', ' ');
    const headers = {
      authorization: printable,
      'proxy-authorization': printable,
      cookie: printable,
      'dropstream-project': printable,
      'x-any': printable,
    };
    for (const { name, definition } of everyService) {
      const service = running.get(
        name === 'GroupService' ? 'worker' : name === 'ExternalScaler' ? 'trainer' : (name.replace('Service', '').toLowerCase() as Name),
      )!;
      const client = new Client(`127.0.0.1:${service.port}`, credentials.createInsecure());
      const answers = await Promise.all(
        Object.values(definition as Record<string, AnyMethod>).flatMap((method) =>
          [{}, headers].map(async (metadata) => {
            const bytes = requestOf(method.path, secret.text);
            const error = await new Promise<ServiceError | undefined>((resolve) => {
              const deadline = { deadline: Date.now() + 10_000 };
              if (!method.responseStream)
                client.makeUnaryRequest(method.path, same, same, bytes, metadataOf(metadata), deadline, (failed) =>
                  resolve(failed ?? undefined),
                );
              else {
                const call = client.makeServerStreamRequest(method.path, same, same, bytes, metadataOf(metadata), deadline);
                call
                  .on('error', resolve)
                  .on('end', () => resolve(undefined))
                  .resume();
              }
            });
            called++;
            if (error === undefined) return [];
            const details = error.metadata.get('grpc-status-details-bin').map((value) => Buffer.from(value).toString('latin1'));
            return [error.details, ...details];
          }),
        ),
      );
      client.close();
      found.look(`requests of ${name}`, answers.flat(), secret);
      const page = await (await fetch(`http://127.0.0.1:${service.adminPort}/metrics`)).text();
      found.look(`metrics of ${name}`, [page], secret);
    }
    found.look('logs of services', serviceLogs.lines, secret);
  }
  assert.ok(called > 500 && serviceLogs.lines.length > 500, `${called} calls, ${serviceLogs.lines.length} lines`);
  for (const service of running.values()) await service.close();
  const written = audits.map((path) => readFileSync(path, 'utf8'));
  assert.ok(written.join('').includes('CreateRun'));
  for (const secret of everyForm(seed)) found.look('audits', written, secret);
  found.assertNone();
});
