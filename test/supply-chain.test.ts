import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

/** Scripts have no types. */
const script = async (name: string) => await import(new URL(`../scripts/${name}.mjs`, import.meta.url).href);
const { isPermissive, licencesOf } = (await script('check-licences')) as {
  isPermissive: (expression: string) => boolean;
  licencesOf: (lock: object) => { refused: string[]; counts: ReadonlyMap<string, number> };
};
const { checkThreats } = (await script('check-threats')) as {
  checkThreats: (text: string, read: (file: string) => string | undefined) => { wrong: string[] };
};
const { sbomOf, statementOf } = (await script('release-papers')) as {
  sbomOf: (format: string) => string;
  statementOf: (facts: object) => object;
};

test('expressions of licences: what may be chosen, and what must be taken', () => {
  for (const permissive of [
    'MIT',
    '(MIT OR GPL-3.0)',
    'MIT AND Zlib',
    '(BSD-2-Clause OR MIT OR Apache-2.0)',
    '(GPL-2.0 OR (MIT AND ISC))',
    'Apache-2.0 WITH LLVM-exception',
  ])
    assert.equal(isPermissive(permissive), true, permissive);
  for (const other of [
    'GPL-3.0',
    'MIT AND GPL-3.0',
    '(MIT OR Apache-2.0) AND AGPL-3.0',
    'UNLICENSED',
    'SEE LICENSE IN x',
    '',
    'MIT MIT',
    'constructor',
  ])
    assert.equal(isPermissive(other), false, other);
});

test('a package without a permissive licence is refused, unless users do not get it', () => {
  const packages = {
    '': { license: 'GPL-3.0' },
    'node_modules/a': { license: 'MIT' },
    'node_modules/a/node_modules/@x/b': { license: 'GPL-3.0' },
    'node_modules/c': {},
    'node_modules/d': { license: 'GPL-3.0', dev: true },
    'node_modules/e': { license: 'GPL-3.0', peer: true, optional: true },
    'node_modules/f': { license: 'AGPL-3.0', optional: true },
  };
  const { refused, counts } = licencesOf({ packages });
  assert.deepEqual(refused, ['@x/b: GPL-3.0', 'c: says no licence', 'f: AGPL-3.0']);
  assert.deepEqual([...counts], [['MIT', 1]]);
});

test('promises without a test are named', () => {
  const table = (...rows: string[]) => ['| promise | held by |', '|---|---|', ...rows].join('\n');
  const read = (file: string) => (file === 'a.test.ts' ? "test('it holds', () => {})" : undefined);
  const wrong = (...rows: string[]) => checkThreats(table(...rows), read).wrong;
  assert.deepEqual(wrong('| A. | `a.test.ts` "it holds" |', '| B. | `a.test.ts` |'), []);
  assert.deepEqual(wrong('| A. | |'), ['line 3 names no test']);
  assert.deepEqual(wrong('| A. | `a.test.ts` "it holds" "it does not" `b.test.ts` |'), [
    'line 3: a.test.ts has no "it does not"',
    'line 3: there is no b.test.ts',
  ]);
  assert.deepEqual(checkThreats('no table', read).wrong, ['there is no table of promises']);
});

test('the provenance names the package by its hash, and what it was made from and with', () => {
  const statement = statementOf({
    tarball: 'dropstream-1.0.0.tgz',
    sha256: 'ab',
    commit: 'c0ffee',
    lockSha256: 'cd',
    repository: 'https://example.org/x',
    tools: { node: 'v1', npm: '2' },
    startedOn: 'then',
    finishedOn: 'now',
  });
  assert.deepEqual(statement, {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name: 'dropstream-1.0.0.tgz', digest: { sha256: 'ab' } }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: 'npm pack',
        externalParameters: { repository: 'https://example.org/x', commit: 'c0ffee' },
        internalParameters: { node: 'v1', npm: '2' },
        resolvedDependencies: [
          { uri: 'https://example.org/x', digest: { gitCommit: 'c0ffee' } },
          { uri: 'package-lock.json', digest: { sha256: 'cd' } },
        ],
      },
      runDetails: { builder: { id: 'scripts/release-papers.mjs' }, metadata: { startedOn: 'then', finishedOn: 'now' } },
    },
  });
});

test('the list of what users install names every package that they get, and no other', () => {
  const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
    packages: Record<string, { dev?: boolean; devOptional?: boolean; version: string }>;
  };
  const installed = Object.entries(lock.packages)
    .filter(([path, { dev, devOptional }]) => path !== '' && !dev && !devOptional)
    .map(([path, { version }]) => `${path.replace(/^.*node_modules\//, '')}@${version}`);
  const { components } = JSON.parse(sbomOf('cyclonedx')) as { components: { group?: string; name: string; version: string }[] };
  const listed = components.map(({ group, name, version }) => `${group ? `${group}/` : ''}${name}@${version}`);
  assert.ok(listed.some((name) => name.startsWith('@grpc/grpc-js@')) && listed.some((name) => name.startsWith('zod@')));
  assert.deepEqual([...new Set(listed)].sort(), [...new Set(installed)].sort());
});
