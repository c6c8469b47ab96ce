import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fillFragments } from '../../scripts/docs/fragments.js';
import { type FileDescriptor, protoFile, readProtos } from '../../scripts/docs/proto-image.js';
import { referencePages } from '../../scripts/docs/rpc-reference.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');

/** Descriptors as buf writes them: comments stand beside the declarations, by their paths. */
const descriptor = (comments: Readonly<Record<string, string>>): FileDescriptor => ({
  name: 'dropstream/v1/small.proto',
  messageType: [
    {
      name: 'AskRequest',
      field: [
        { name: 'names', number: 1, type: 'TYPE_STRING', label: 'LABEL_REPEATED' },
        { name: 'rate', number: 2, type: 'TYPE_DOUBLE', oneofIndex: 1, proto3Optional: true },
        { name: 'kind', number: 4, type: 'TYPE_ENUM', typeName: '.dropstream.v1.Kind', oneofIndex: 0 },
      ],
      oneofDecl: [{ name: 'choice' }, { name: '_rate' }],
    },
  ],
  enumType: [{ name: 'Kind', value: [{ name: 'KIND_UNSPECIFIED' }, { name: 'KIND_ONE', number: 1 }] }],
  service: [
    {
      name: 'SmallService',
      method: [{ name: 'Ask', inputType: '.dropstream.v1.AskRequest', outputType: '.google.protobuf.Empty', serverStreaming: true }],
    },
  ],
  sourceCodeInfo: {
    location: Object.entries(comments).map(([path, text]) => ({ path: path.split('.').map(Number), leadingComments: text })),
  },
});

const comments = {
  '6.0': ' A small service.\n',
  '6.0.2.0': ' Asks, and\n waits.\n',
  '4.0': ' A question.\n',
  '4.0.2.0': ' Names | aliases, [a-z].\n',
  '4.0.2.1': ' Rate.\n',
  '4.0.2.2': ' Which one.\n',
  '5.0': ' Kinds.\n',
  '5.0.2.0': ' Never sent.\n',
  '5.0.2.1': ' The first.\n',
};

test('a page shows RPCs, fields and enums with their comments, and links types', () => {
  const page = referencePages([protoFile(descriptor(comments))]).get('small.md') ?? '';
  for (const line of [
    '### Ask',
    'Asks, and waits.',
    'Takes [AskRequest](#askrequest), answers with a stream of `google.protobuf.Empty`.',
    '| `names` | 1 | repeated string | Names \\| aliases, \\[a-z]. |',
    '| `rate` | 2 | optional double | Rate. |',
    '| `kind` | 4 | [Kind](#kind), one of `choice` | Which one. |',
    '| `KIND_ONE` | 1 | The first. |',
  ]) {
    assert.ok(page.split('\n').includes(line), `${line} is missing in:\n${page}`);
  }
});

test('a declaration without a comment is named', () => {
  const { '4.0.2.1': _, ...rest } = comments;
  assert.throws(() => protoFile(descriptor(rest)), /small\.proto: AskRequest\.rate has no comment/);
});

test('every RPC of the services has a heading in the reference that is in the repository', async () => {
  const files = (await readProtos(root)).filter(({ services }) => services.length > 0);
  assert.equal(files.length, 5);
  for (const { name, services } of files) {
    const page = read(`docs/reference/${name.slice('dropstream/v1/'.length).replace('.proto', '.md')}`);
    for (const { methods } of services) for (const method of methods) assert.match(page, new RegExp(`^### ${method.name}$`, 'm'));
  }
});

test('a fragment replaces what stood between its markers and nothing else', () => {
  const page = 'before\n<!-- generated: table -->\nold\n<!-- end: table -->\nafter\n';
  const used = new Set<string>();
  const filled = fillFragments('page.md', page, new Map([['table', ['| a |']]]), used);
  assert.equal(filled, 'before\n<!-- generated: table -->\n\n| a |\n\n<!-- end: table -->\nafter\n');
  assert.deepEqual([...used], ['table']);
  assert.equal(fillFragments('page.md', filled, new Map([['table', ['| a |']]]), used), filled);
});

test('a fragment that is unknown or has no end is named with its page', () => {
  const none = new Map([['table', []]]);
  assert.throws(() => fillFragments('page.md', '<!-- generated: list -->\n', none, new Set()), /page\.md: there is no fragment "list"/);
  assert.throws(
    () => fillFragments('page.md', '<!-- generated: table -->\n', none, new Set()),
    /page\.md: the fragment "table" has no line/,
  );
});

test('alerts are made of metrics that exist', () => {
  const known = new Set([...read('docs/reference/metrics.md').matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name));
  // Groups of rules have names of the same form.
  const rules = read('deploy/prometheus/alerts.rules.yaml').replaceAll(/^ *- name: .*$/gm, '');
  const metrics = [...rules.matchAll(/\b(?:dropstream|grpc_server|grpc_client)_\w+/g)].map(([name]) => name);
  assert.ok(metrics.length > 8);
  for (const name of metrics) assert.ok(known.has(name) || known.has(name.replace(/_(sum|count|bucket)$/, '')), name);
});

test('every alert is explained to the person on call', () => {
  const page = read('docs/operating.md');
  const alerts = [...read('deploy/prometheus/alerts.rules.yaml').matchAll(/- alert: (\w+)/g)].map(([, name]) => name);
  assert.ok(alerts.length > 5);
  for (const alert of alerts) assert.ok(page.includes(`\`${alert}\``), alert);
});

test('README is short enough to be read', () => {
  assert.ok(read('README.md').split('\n').length <= 151);
});
