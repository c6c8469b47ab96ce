/** Short digests of what a simulated process or store has seen, so that two states can be compared without keeping them. */

/** 52 bits of a text: enough that among a million states a collision is as unlikely as one in ten thousand. */
export function fingerprint(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 0x9e3779b1);
    low = Math.imul(low ^ code, 0x5f356495);
  }
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35);
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35);
  return 2 ** 32 * (high & 0xfffff) + (low >>> 0);
}

const RANGE = 2 ** 52;

/** The fingerprint of a set, kept up to date as members come and go, in any order. */
export class SetFingerprint {
  value = 0;
  add(member: number): void {
    this.value = (this.value + member) % RANGE;
  }
  remove(member: number): void {
    this.value = (this.value - member + RANGE) % RANGE;
  }
}
