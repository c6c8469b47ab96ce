/**
 * How samples lie in tar shards (the WebDataset layout): files whose names are equal up to the first dot after the last slash are one sample,
 * wherever they lie in the shard. It has one image, KEY.jpg, KEY.png or another ending that is read, and its label in KEY.cls (a number from 0),
 * else in KEY.json (`label` or `cls`, a number from 0); where no sample of the set has such a label, the folders are the classes. Files with
 * other endings are passed over.
 */

import { maxClasses } from '#errors/limits.js';
import { isImageName } from './image-names.js';

/** A class: its number, or the name of its folder. */
export type TarLabel = number | string;

/** `dotted`: an image or a label whose ending comes after more dots, so that its key is not what its maker meant, or that is another picture of the sample. */
export type MemberKind = 'image' | 'cls' | 'json' | 'dotted' | 'other';

/** Why an image is left out that has neither a label nor a folder. */
export const UNLABELLED = 'it has no label: no .cls, no .json with label or cls, no folder';

/** Largest .cls or .json file. */
export const MAX_LABEL_BYTES = 1 << 20;

export function memberOf(name: string): { key: string; kind: MemberKind } {
  const slash = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', slash);
  if (dot < 0) return { key: name, kind: 'other' };
  const ending = name.slice(dot + 1).toLowerCase();
  return { key: name.slice(0, dot), kind: kindOf(ending) };
}

function kindOf(ending: string): MemberKind {
  if (ending === 'cls' || ending === 'json') return ending;
  if (!isImageName(`.${ending}`) && !ending.endsWith('.cls')) return 'other';
  return ending.includes('.') ? 'dotted' : 'image';
}

/** The class that a .cls or .json file says; undefined: a .json that says none. @throws Error with what is wrong */
export function labelIn(kind: 'cls' | 'json', bytes: Uint8Array): number | undefined {
  const text = Buffer.from(bytes).toString('utf8');
  if (kind === 'cls') return classNumber(/^\s*\d{1,6}\s*$/.test(text) ? Number(text) : text.slice(0, 40), '.cls');
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Error('its .json is not JSON');
  }
  if (typeof parsed !== 'object' || parsed === null) throw new Error('its .json is not an object');
  const { label, cls } = parsed as { label?: unknown; cls?: unknown };
  const value = label ?? cls;
  return value === undefined ? undefined : classNumber(value, '.json');
}

function classNumber(value: unknown, where: string): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < maxClasses) return value as number;
  throw new Error(`its ${where} says ${JSON.stringify(value)}, a number from 0 to ${maxClasses - 1} is wanted`);
}

/** The class that a key's folder names: the last one, since archives are made with and without the folders above. */
export function labelOfFolder(key: string): string | undefined {
  const folder = key.split('/').at(-2);
  return folder === '' ? undefined : folder;
}
