/**
 * A request that names a resource of another project than its parent never reaches its handler. Without a role there it is not permitted, and with one
 * it is invalid, because resources of different projects do not refer to each other.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Identity } from '#auth/identity.js';
import { type Role, roles } from '#auth/policy.js';
import { FailedPrecondition, InvalidArgument, PermissionDenied } from '#errors/errors.js';
import { EvaluatorServiceClient } from '#protocol/dropstream/v1/evaluator.js';
import { RunSpec } from '#protocol/dropstream/v1/run_spec.js';
import { TrainerServiceClient } from '#protocol/dropstream/v1/trainer.js';
import { connect, type TypedClient } from '#rpc/client.js';
import type { NamesDeclaration } from '#rpc/request-names.js';
import type { RpcServer } from '#rpc/server.js';
import { everyService, serverOfEveryService } from './support/every-service.js';

/** The paths of the fields of a request that hold names. */
function named(declared: NamesDeclaration, prefix = ''): string[] {
  return Object.entries(declared).flatMap(([field, kind]) => {
    if (typeof kind !== 'string') return named(kind, `${prefix}${field}.`);
    return kind === 'text' ? [] : [`${prefix}${field}`];
  });
}

const parent = 'projects/mine';
const soon = { timeoutMs: 20_000 };
type Call = (clients: {
  trainer: TypedClient<typeof TrainerServiceClient.service>;
  evaluator: TypedClient<typeof EvaluatorServiceClient.service>;
}) => Promise<unknown>;

const withSpec =
  (spec: Partial<RunSpec>): Call =>
  ({ trainer }) =>
    trainer.createRun({ parent, spec: RunSpec.fromPartial(spec) }, soon);
const ofCheckpoint =
  (checkpoint: string): Call =>
  ({ evaluator }) =>
    evaluator.createEvaluation({ parent, spec: { checkpoint, manifest: '' } }, soon);
const checkpoints = ['000000000001-0123abcd', 'best', 'latest'].map((id) => `projects/theirs/runs/r/checkpoints/${id}`);

/** What a request may name besides its parent, and calls that name one of another project there. */
const fields: Readonly<Record<string, readonly [field: string, call: Call][]>> = {
  'createRun spec.schedule': [['spec.schedule', withSpec({ schedule: 'projects/theirs/schedules/s' })]],
  'createRun spec.finetune': checkpoints.map((finetune) => ['spec.finetune', withSpec({ finetune })]),
  'createEvaluation spec.checkpoint': checkpoints.map((checkpoint) => ['spec.checkpoint', ofCheckpoint(checkpoint)]),
};

test('every field that names something besides the parent has its calls below', () => {
  const found = everyService.flatMap(({ names }) =>
    Object.entries(names).flatMap(([method, declared]) => {
      const all = named(declared);
      return all.length < 2 ? [] : all.filter((field) => field !== 'parent').map((field) => `${method} ${field}`);
    }),
  );
  assert.deepEqual(found.sort(), Object.keys(fields).sort());
});

let server: RpcServer;
before(async () => {
  const ended = new AbortController().signal;
  const identify = ({ authorization }: { readonly authorization: readonly string[] }): Identity => {
    const [, mine, theirs] = /^Bearer token-of-(\w+)-(\w+)/.exec(authorization[0] ?? '') ?? [];
    const grants = new Map<string, Role>([['mine', mine as Role]]);
    if (theirs !== 'nobody') grants.set('theirs', theirs as Role);
    return { principal: 'caller', grants, ended };
  };
  server = serverOfEveryService(new FailedPrecondition('call', 'test', 'the handler was reached'), identify);
  await server.start();
});
after(() => server.close());

const clientsOf = (mine: Role, theirs: Role | 'nobody') => {
  const options = { token: () => `token-of-${mine}-${theirs}-0000` };
  const address = `127.0.0.1:${server.port}`;
  const clients = {
    trainer: connect(TrainerServiceClient, address, options),
    evaluator: connect(EvaluatorServiceClient, address, options),
  };
  after(() => Object.values(clients).forEach((client) => void client.close()));
  return clients;
};

for (const [name, calls] of Object.entries(fields))
  test(`${name} of another project`, async () => {
    for (const [field, call] of calls) {
      for (const theirs of ['nobody', 'viewer'] as const) await assert.rejects(call(clientsOf('operator', theirs)), PermissionDenied);
      for (const theirs of roles.filter((role) => role === 'submitter' || role === 'operator'))
        await assert.rejects(call(clientsOf('submitter', theirs)), (error) => {
          assert.ok(error instanceof InvalidArgument, String(error));
          assert.deepEqual(
            error.violations.map((violation) => violation.field),
            [field],
          );
          return true;
        });
    }
  });
