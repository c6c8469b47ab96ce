/** Etags that callers give to change or delete only what they have seen. */
import { Aborted } from '#errors/errors.js';

/** @throws Aborted if an etag is given that is not the newest one */
export function checkEtag(kind: string, name: string, given: string, newest: string): void {
  if (given === '' || given === newest) return;
  throw new Aborted(kind, name, `etag ${given.slice(0, 64)} is stale, the newest is ${newest}`);
}

/** For a resource that is damaged. @throws Aborted if an etag is given, because it cannot be compared */
export function refuseUnreadableEtag(kind: string, name: string, given: string, damage: string): void {
  if (given !== '') throw new Aborted(kind, name, `its etag cannot be read (${damage}): delete it without one`);
}
