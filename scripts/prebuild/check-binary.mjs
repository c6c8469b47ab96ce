// What a prebuilt addon asks of the system that loads it.
import { readFileSync, statSync } from 'node:fs';

const MAX_BYTES = 12 * 1024 * 1024;

const newer = (a, b) => {
  const [majorA, minorA] = a.split('.').map(Number);
  const [majorB, minorB] = b.split('.').map(Number);
  return majorA > majorB || (majorA === majorB && minorA > minorB);
};

/** @returns what is wrong with the file, and what it needs. `glibc`: the newest version that it may ask for, or undefined where it must ask for none */
export function checkBinary(file, glibc) {
  const text = readFileSync(file, 'latin1');
  // Names of needed versions are whole strings in the table of dynamic strings.
  const versions = [...new Set([...text.matchAll(/\0GLIBC_(\d+\.\d+)(?:\.\d+)?(?=\0)/g)].map(([, version]) => version))];
  const newest = versions.reduce((best, version) => (newer(version, best) ? version : best), '0.0');
  const wrong = [];
  if (glibc === undefined && versions.length > 0) wrong.push(`asks for glibc ${newest}`);
  if (glibc !== undefined && newer(newest, glibc)) wrong.push(`asks for glibc ${newest}, newer than ${glibc}`);
  if (/\0libstdc\+\+\.so|\0libjpeg\.so|\0libc\+\+\.so/.test(text)) wrong.push('asks for a shared library of C++ or JPEG');
  const { size } = statSync(file);
  if (size > MAX_BYTES) wrong.push(`has ${size} bytes, may have ${MAX_BYTES}`);
  const libraries = [...new Set([...text.matchAll(/\0((?:lib[\w+-]+|ld-[\w-]+)\.so(?:\.\d+)*)(?=\0)/g)].map(([, name]) => name))];
  return { wrong, size, needs: `${libraries.join(' ') || 'no library'}${glibc === undefined ? '' : `, glibc ${newest}`}` };
}
