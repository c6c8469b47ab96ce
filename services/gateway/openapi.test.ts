// The OpenAPI document describes what the gateway does, and the copy in docs/ is the one that is served.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { policy } from '#auth/policy.js';
import { openApiOf, openApiText } from './openapi/document.js';
import { readProtos } from './protos.js';

const protos = readProtos();
// biome-ignore lint/suspicious/noExplicitAny: a document of any form
const document = openApiOf(protos) as any;

test('docs/reference/openapi.json is current', () => {
  const path = fileURLToPath(new URL('../../docs/reference/openapi.json', import.meta.url));
  assert.equal(readFileSync(path, 'utf8'), openApiText(protos), 'run `npm run docs:generate`');
});

test('every RPC that a role may call has its path, and GETs are those that change nothing', () => {
  // Workers of one run call each other directly.
  const wanted = [...policy.keys()].filter((method) => !/^grpc\.reflection|\.GroupService\//.test(method)).map((method) => `/${method}`);
  assert.deepEqual(Object.keys(document.paths).sort(), wanted.sort());
  for (const [path, methods] of Object.entries<{ get?: object; post: object }>(document.paths))
    if (path.startsWith('/dropstream.v1.'))
      assert.equal(methods.get !== undefined, /\/(Get(?!Batch)|List|Describe|Preview)/.test(path), path);
});

test('every reference leads somewhere, every message and field is described, and types are those of JSON', () => {
  const { schemas } = document.components;
  for (const [, name] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) assert.ok(schemas[name!], name);
  for (const [name, schema] of Object.entries<{ description?: string; properties?: Record<string, { description?: string }> }>(schemas)) {
    if (!name.startsWith('dropstream.v1.')) continue;
    assert.ok(schema.description, name);
    for (const [field, { description }] of Object.entries(schema.properties ?? {})) assert.ok(description, `${name}.${field}`);
  }
  const run = schemas['dropstream.v1.Run'].properties;
  assert.deepEqual([run.step.type, run.step.pattern], ['string', '^[0-9]+$'], '64 bits');
  assert.equal(run.createTime.format, 'date-time');
  assert.equal(run.state.$ref, '#/components/schemas/dropstream.v1.RunState');
  assert.ok(schemas['dropstream.v1.RunState'].enum.includes('RUN_STATE_PAUSED'));
  assert.equal(run.labels.additionalProperties.type, 'string');
  assert.equal(schemas['dropstream.v1.StepMetrics'].properties.batchSha256.items.contentEncoding, 'base64');
});
