/** A key that makes a request safe to repeat. crypto.randomUUID exists on HTTPS and loopback only. */
export const requestId = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
