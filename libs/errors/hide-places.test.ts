import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hidePlaces } from './hide-places.js';

const places = { roots: ['/srv/data'], hidden: ['/mnt/my store', 's3://bucket/prefix?endpoint=http://minio:9000&region=us-east-1'] };

const rows: readonly (readonly [string, string])[] = [
  ["EACCES: permission denied, open '/srv/data/dogs/1 2.png'", "EACCES: permission denied, open 'dogs/1 2.png'"],
  ["ENOSPC: no space left, write '/home/jane doe/x'", 'ENOSPC: no space left, write (a path)'],
  [
    'its data set is not below /srv/data or /srv/others on this replica',
    'its data set is not below (a data root) or (a path) on this replica',
  ],
  ['/mnt/my store/projects/p is damaged', '(a store)/projects/p is damaged'],
  ['there is no object k in s3://bucket/prefix?endpoint=http://minio:9000&region=us-east-1', 'there is no object k in (a store)'],
  ['there is no object k in s3://other/x?endpoint=http://h:1', 'there is no object k in (a store)'],
  ['connect ECONNREFUSED 10.0.0.3:7011', 'connect ECONNREFUSED (an address)'],
  ['connect ECONNREFUSED ::1:7011', 'connect ECONNREFUSED (an address)'],
  ['connect ECONNREFUSED fd00::2:1:7011 and ::ffff:10.0.0.1', 'connect ECONNREFUSED (an address) and (an address)'],
  ['connect ECONNREFUSED [fd00::2]:7011', 'connect ECONNREFUSED (an address)'],
  ['getaddrinfo ENOTFOUND minio.internal', 'getaddrinfo ENOTFOUND (an address)'],
  ['GetBatch at data-0.data.svc:7011 is unavailable', 'GetBatch at (an address) is unavailable'],
  ['localhost:7012, dns:///data:7011', '(an address), (an address)'],
  ['TypeError: x\n    at f (/app/dist/main.js:3:4)\n    at g', 'TypeError: x'],
  ['opened ~/.dropstream/state.json', 'opened (a path)'],
  ['opened C:\\Users\\jane\\x', 'opened (a path)'],
  ['"/etc/passwd" is outside', '(a path) is outside'],
];

for (const [text, shown] of rows) test(`shows: ${shown}`, () => assert.equal(hidePlaces(text, places), shown));

test('what callers know stays as it is', () => {
  for (const text of [
    'run projects/p/runs/r does not exist',
    'projects/p/schedules/s/revisions/3 is damaged: not JSON',
    'manifest-locations/ab is damaged; run `dropstream data index` on the data set again',
    'name is "", must be projects/{project}/runs/{run}',
    'rate is "1.5", must be at least 0 and below 1',
    'dropstream.v1.DataService/GetBatch was cancelled',
    'steps at 5 MiB/s, 3 of 4 / 5; 12:30:55 and 2026-01-01T00:00:00Z',
    'the deadline of grpc.health.v1.Health/Check has passed',
    'sample dogs/1.png cannot be read: 10 bytes, 12 in manifest',
  ])
    assert.equal(hidePlaces(text, places), text);
});

test('a long text takes no long time', () => {
  const texts = [
    '/'.repeat(100_000),
    'a:'.repeat(50_000),
    '1.'.repeat(50_000),
    'a-'.repeat(50_000),
    '"/'.repeat(50_000),
    '\n at '.repeat(20_000),
  ];
  for (const text of texts) assert.equal(typeof hidePlaces(text), 'string');
});
