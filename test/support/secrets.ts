/** Secrets in the forms in which people and programs carry them. */
import fc from 'fast-check';

export interface CarriedSecret {
  /** What carries it. */
  readonly form: string;
  readonly text: string;
  /** What must appear nowhere. */
  readonly secrets: readonly string[];
}

const word = fc.stringMatching(/^[A-Za-z][A-Za-z0-9]{22}[0-9]$/);
const password = fc.stringMatching(/^[A-Za-z0-9/+=@:?&#%_-]{8}$/).map((odd) => `Zq7${odd}x`);
const base64url = (text: string): string => Buffer.from(text).toString('base64url');

const carriers: Readonly<Record<string, (secret: string, odd: string) => Omit<CarriedSecret, 'form'>>> = {
  'user of a store': (secret, odd) => ({ text: `s3://AKIA:${secret}${odd}@bucket/prefix`, secrets: [secret, odd] }),
  'user of an endpoint': (secret) => ({ text: `s3://bucket/prefix?endpoint=http://me:${secret}@host:9000`, secrets: [secret] }),
  'encoded user of an endpoint': (secret) => ({ text: `s3://bucket/p?endpoint=http%3A%2F%2Fme%3A${secret}%40host`, secrets: [secret] }),
  'parameter of a store': (secret) => ({ text: `s3://bucket/prefix?region=eu&secret_key=${secret}`, secrets: [secret] }),
  'user of a URL': (secret, odd) => ({ text: `https://me:${secret}${odd}@host/path`, secrets: [secret, odd] }),
  'user of an address': (secret) => ({ text: `grpc://me:${secret}@127.0.0.1:1`, secrets: [secret] }),
  'presigned URL': (secret) => ({
    text: `http://host/bucket/key?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${secret}%2F20260101&X-Amz-Security-Token=q${secret}&X-Amz-Signature=${secret}`,
    secrets: [secret],
  }),
  'bearer token': (secret) => ({ text: `Bearer ${secret}`, secrets: [secret] }),
  'basic credentials': (secret) => ({
    text: `Basic ${Buffer.from(`me:${secret}`).toString('base64')}`,
    secrets: [secret, Buffer.from(`me:${secret}`).toString('base64')],
  }),
  'token of ours': (secret) => ({ text: `dst_0123456789ab_${secret}${'z'.repeat(19)}`, secrets: [secret] }),
  JWT: (secret) => {
    const parts = [base64url('{"alg":"ES256"}'), base64url(`{"sub":"${secret}"}`), `${secret}${secret}`];
    return { text: parts.join('.'), secrets: [secret, parts[1]!] };
  },
  'private key': (secret) => ({
    text: `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----`,
    secrets: [secret],
  }),
};

/** One secret in one form. */
export const carriedSecret: fc.Arbitrary<CarriedSecret> = fc
  .tuple(fc.constantFrom(...Object.keys(carriers)), word, password)
  .map(([form, secret, odd]) => ({ form, ...carriers[form]!(secret, odd) }));

/** A secret in every form. */
export const everyForm = (seed: number): CarriedSecret[] =>
  fc
    .sample(fc.tuple(word, password), { numRuns: Object.keys(carriers).length, seed })
    .map(([secret, odd], k) => ({ form: Object.keys(carriers)[k]!, ...Object.values(carriers)[k]!(secret, odd) }));

/** The parts of what was written that hold a secret. */
export function leaks(written: readonly string[], { secrets }: CarriedSecret): string[] {
  return written.flatMap((text) =>
    secrets.flatMap((secret) => {
      const at = text.indexOf(secret);
      return at < 0 ? [] : [text.slice(Math.max(0, at - 120), at + secret.length + 40)];
    }),
  );
}
