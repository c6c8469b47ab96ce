/**
 * The OpenAPI document of all RPCs over HTTP, made from the protos. The gateway serves it at /openapi.json, and docs/reference/openapi.json is a copy.
 * OpenAPI has no words for streams of messages: for those, the schema is the one of each message.
 */
import type { DescMethod } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel as Idempotency } from '@bufbuild/protobuf/wkt';
import { isStream, methodName, type Protos } from '../protos.js';
import { commentsOf } from './comments.js';
import { type Schema, Schemas } from './json-schema.js';

const errorName = 'connect.Error';
const codes = [
  'canceled',
  'unknown',
  'invalid_argument',
  'deadline_exceeded',
  'not_found',
  'already_exists',
  'permission_denied',
  'resource_exhausted',
  'failed_precondition',
  'aborted',
  'out_of_range',
  'unimplemented',
  'internal',
  'unavailable',
  'data_loss',
  'unauthenticated',
];

const errorSchema: Schema = {
  description: 'Why a call has failed.',
  type: 'object',
  required: ['code'],
  properties: {
    code: { type: 'string', enum: codes },
    message: { type: 'string' },
    details: {
      description: 'What went wrong for programs, as messages of google.rpc: ErrorInfo, BadRequest, RetryInfo and others.',
      type: 'array',
      items: {
        type: 'object',
        required: ['type', 'value'],
        properties: {
          type: { description: 'Full name of the type of the message.', type: 'string' },
          value: { description: 'The message in its binary form.', type: 'string', contentEncoding: 'base64' },
          debug: { description: 'The message as JSON, for people.' },
        },
      },
    },
  },
};

const timeoutHeader: Schema = {
  name: 'Connect-Timeout-Ms',
  in: 'header',
  description: 'Milliseconds after which the call ends with deadline_exceeded.',
  schema: { type: 'integer', minimum: 1, maximum: 9_999_999_999 },
};

export function openApiOf({ services, registry }: Protos): Schema {
  const comments = new Map([...registry.files].flatMap((file) => [...commentsOf(file)]));
  const schemas = new Schemas((name) => comments.get(name));
  const paths: Record<string, Schema> = {};
  for (const method of services.flatMap((service) => service.methods)) {
    const description = comments.get(`${method.parent.typeName}.${method.name}`);
    const type = isStream(method) ? 'application/connect+json' : 'application/json';
    const shared = {
      tags: [method.parent.typeName],
      ...(description === undefined ? {} : { description: isStream(method) ? `${description} (stream)` : description }),
    };
    const responses = {
      200: {
        description: isStream(method) ? 'Messages, each in an envelope; the last envelope says how the stream ended.' : 'Success',
        content: { [type]: { schema: schemas.of(method.output) } },
      },
      ...(isStream(method)
        ? {}
        : { default: { description: 'Failure', content: { 'application/json': { schema: reference(errorName) } } } }),
    };
    paths[`/${methodName(method)}`] = {
      post: {
        operationId: methodName(method).replaceAll(/[./]/g, '_'),
        ...shared,
        parameters: [timeoutHeader],
        requestBody: { required: true, content: { [type]: { schema: schemas.of(method.input) } } },
        responses,
      },
      ...(isReading(method)
        ? {
            get: {
              operationId: `get_${methodName(method).replaceAll(/[./]/g, '_')}`,
              ...shared,
              parameters: query(method, schemas),
              responses,
            },
          }
        : {}),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Dropstream',
      version: 'v1',
      description:
        'Every RPC of Dropstream over HTTP/1.1 and HTTP/2 as the Connect protocol (https://connectrpc.com/docs/protocol) with JSON. Fields with their default are left out of answers.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{}, { token: [] }],
    tags: services.map(({ typeName }) => {
      const description = comments.get(typeName);
      return { name: typeName, ...(description === undefined ? {} : { description }) };
    }),
    paths,
    components: {
      schemas: { [errorName]: errorSchema, ...schemas.all() },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'A token made by `dropstream token`, or a JWT of a known issuer.' },
      },
    },
  };
}

export const openApiText = (protos: Protos): string => `${JSON.stringify(openApiOf(protos), null, 1)}\n`;

const reference = (name: string): Schema => ({ $ref: `#/components/schemas/${name}` });

/** Whether a GET may call it, because it changes nothing. */
const isReading = ({ idempotency }: DescMethod): boolean => idempotency === Idempotency.NO_SIDE_EFFECTS;

function query(method: DescMethod, schemas: Schemas): Schema[] {
  return [
    timeoutHeader,
    { name: 'encoding', in: 'query', required: true, schema: { const: 'json' } },
    {
      name: 'message',
      in: 'query',
      required: true,
      description: 'The request.',
      content: { 'application/json': { schema: schemas.of(method.input) } },
    },
  ];
}
