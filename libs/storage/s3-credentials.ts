/** The credentials of an S3 store: from the environment, or from a file that is read again, so that they can be replaced while a service runs. */
import { z } from 'zod';
import { parseOwnJson } from '#bounds/own-json.js';
import { reread } from '#bounds/reread.js';
import { readSmallFile } from '#bounds/small-file.js';

export interface S3Keys {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken?: string | undefined;
}

/** Asked before each request. */
export type S3KeySource = () => S3Keys;

const text = z.string().min(1).max(4096);
const schema = z.strictObject({ accessKey: text, secretKey: text, sessionToken: text.optional() });

const MAX_BYTES = 64 << 10;

/**
 * DROPSTREAM_S3_CREDENTIALS_FILE, or DROPSTREAM_S3_ACCESS_KEY and …_SECRET_KEY (…_SESSION_TOKEN), or the AWS_* names.
 * @throws Error with a reason that repeats no secret
 */
export function s3Keys(env: Readonly<Record<string, string | undefined>>): S3KeySource {
  const file = env.DROPSTREAM_S3_CREDENTIALS_FILE;
  if (file) return reread(() => readKeys(file));
  const own = env.DROPSTREAM_S3_ACCESS_KEY !== undefined;
  const accessKey = own ? env.DROPSTREAM_S3_ACCESS_KEY : env.AWS_ACCESS_KEY_ID;
  const secretKey = own ? env.DROPSTREAM_S3_SECRET_KEY : env.AWS_SECRET_ACCESS_KEY;
  const sessionToken = own ? env.DROPSTREAM_S3_SESSION_TOKEN : env.AWS_SESSION_TOKEN;
  if (!accessKey || !secretKey)
    throw new Error(
      'set DROPSTREAM_S3_ACCESS_KEY and DROPSTREAM_S3_SECRET_KEY (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), or DROPSTREAM_S3_CREDENTIALS_FILE',
    );
  const keys = { accessKey, secretKey, sessionToken };
  return () => keys;
}

function readKeys(path: string): S3Keys {
  const wrong = (why: string): Error =>
    new Error(
      `DROPSTREAM_S3_CREDENTIALS_FILE is ${path}, must be a JSON file with accessKey, secretKey and, where it is needed, sessionToken; ${why}`,
    );
  let content: string;
  try {
    content = readSmallFile(path, MAX_BYTES).toString('utf8');
  } catch (cause) {
    throw wrong((cause as Error).message);
  }
  try {
    const parsed = schema.safeParse(parseOwnJson(content));
    if (parsed.success) return parsed.data;
    throw wrong(`${parsed.error.issues[0]?.path.join('.') || 'it'} is not valid`);
  } catch (error) {
    // The message of the parser would repeat what is in the file.
    throw error instanceof SyntaxError ? wrong('it is no JSON') : error;
  }
}
