// node scripts/check-licences.mjs: every package that is installed with this one has a licence that lets everybody use it. Ends with 1 where one has not.
// What is looked at is package-lock.json without development dependencies: what `npm install dropstream` brings, optional packages included. The peers,
// which are optional and which users install by themselves, are not part of it; scripts/install-peers.mjs installs them for tests.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './test-suites.mjs';

/** SPDX names of permissive licences. */
const PERMISSIVE = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BSL-1.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MIT-0',
  'Python-2.0',
  'Unlicense',
  'Zlib',
]);

/** Whether an SPDX expression lets one choose permissive licences only: OR needs one side, AND both. An exception (WITH) only permits more. */
export function isPermissive(expression) {
  const tokens = expression.match(/\(|\)|[^\s()]+/g) ?? [];
  let at = 0;
  const term = () => {
    const token = tokens[at++];
    if (token === '(') {
      const inside = either();
      if (tokens[at++] !== ')') throw new Error(`${expression} is no SPDX expression`);
      return inside;
    }
    if (tokens[at] === 'WITH') at += 2;
    return PERMISSIVE.has(token);
  };
  const both = () => {
    let holds = term();
    while (tokens[at] === 'AND') {
      at++;
      holds = term() && holds;
    }
    return holds;
  };
  const either = () => {
    let holds = both();
    while (tokens[at] === 'OR') {
      at++;
      holds = both() || holds;
    }
    return holds;
  };
  const holds = either();
  return holds && at === tokens.length;
}

/** @returns the packages of a lock file that users install, and what is wrong with them */
export function licencesOf(lock) {
  const counts = new Map();
  const refused = [];
  for (const [path, { dev, peer, devOptional, link, license }] of Object.entries(lock.packages)) {
    if (path === '' || dev || peer || devOptional || link) continue;
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    if (typeof license !== 'string' || !isPermissive(license)) refused.push(`${name}: ${license ?? 'says no licence'}`);
    else counts.set(license, (counts.get(license) ?? 0) + 1);
  }
  return { counts, refused };
}

if (process.argv[1] === import.meta.filename) {
  const { counts, refused } = licencesOf(JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')));
  const all = [...counts].sort(([, a], [, b]) => b - a).map(([licence, count]) => `${licence} ${count}`);
  if (refused.length > 0) {
    console.error(`check-licences: not permissive, or unknown:\n  ${refused.join('\n  ')}`);
    process.exitCode = 1;
  } else console.log(`licences of what users install: ${all.join(', ')}`);
}
