// node scripts/check-threats.mjs: every row of THREATS.md that promises something names the test that holds it, and that test is there. Ends with 1 where
// one is not. A row names tests as `file` "name": a part of the name of a test in that file, or nothing where the whole file is meant.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './test-suites.mjs';

/** The header of the tables whose rows are promises. */
const HEADER = /^\| promise \| held by \|$/;

/** @returns what is wrong with the tables of promises, and how many there are */
export function checkThreats(text, read) {
  const wrong = [];
  let [promises, tests, inside] = [0, 0, false];
  for (const [index, line] of text.split('\n').entries()) {
    if (HEADER.test(line)) inside = true;
    else if (!line.startsWith('|')) inside = false;
    else if (inside && !/^\|[-|]+\|$/.test(line)) {
      promises++;
      const cells = line.split(/(?<!\\)\|/).slice(1, -1);
      const named = [...(cells[1] ?? '').matchAll(/`([^`]+)`((?:\s+"[^"]+")*)/g)];
      if (cells.length !== 2 || named.length === 0) wrong.push(`line ${index + 1} names no test`);
      for (const [, file, names] of named) {
        tests++;
        const source = read(file);
        if (source === undefined) wrong.push(`line ${index + 1}: there is no ${file}`);
        for (const [, name] of (names ?? '').matchAll(/"([^"]+)"/g))
          if (source !== undefined && !source.includes(name)) wrong.push(`line ${index + 1}: ${file} has no "${name}"`);
      }
    }
  }
  if (promises === 0) wrong.push('there is no table of promises');
  return { wrong, promises, tests };
}

if (process.argv[1] === import.meta.filename) {
  const read = (file) => (existsSync(join(root, file)) ? readFileSync(join(root, file), 'utf8') : undefined);
  const { wrong, promises, tests } = checkThreats(readFileSync(join(root, 'THREATS.md'), 'utf8'), read);
  if (wrong.length > 0) {
    console.error(`THREATS.md:\n  ${wrong.join('\n  ')}`);
    process.exitCode = 1;
  } else console.log(`THREATS.md: ${promises} promises, ${tests} tests that are there`);
}
