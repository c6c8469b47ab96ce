/** The token that a caller shows: DROPSTREAM_TOKEN, or a file with it, which is read again so that it can be replaced while the process runs. */
import { reread } from '#bounds/reread.js';
import { readSmallFile } from '#bounds/small-file.js';
import { invalid } from '#errors/errors.js';
import { tokenIdOf } from './tokens.js';

export type CallerToken = () => string;

type Environment = Readonly<Record<string, string | undefined>>;

const MAX_BYTES = 16 << 10;
/** RFC 6750. */
const bearer = /^[A-Za-z0-9._~+/-]{16,8192}=*$/;

/**
 * The file that is given, or DROPSTREAM_TOKEN, or the file that DROPSTREAM_TOKEN_FILE names; undefined without any.
 * @throws InvalidArgument, which never repeats the token
 */
export function callerToken(file: string | undefined, env: Environment): CallerToken | undefined {
  if (file) return reread(() => readToken(file, '--token-file'));
  const given = env.DROPSTREAM_TOKEN;
  if (given) {
    const token = checked(given, 'DROPSTREAM_TOKEN');
    return () => token;
  }
  const named = env.DROPSTREAM_TOKEN_FILE;
  return named ? reread(() => readToken(named, 'DROPSTREAM_TOKEN_FILE')) : undefined;
}

function readToken(path: string, option: string): string {
  let text: string;
  try {
    text = readSmallFile(path, MAX_BYTES).toString('utf8');
  } catch (cause) {
    // Somebody may have given the token where its file belongs.
    if (tokenIdOf(path) !== undefined) throw invalid(option, '…', 'the name of a file with a token, and not the token itself');
    throw invalid(option, path, `a readable file with a token (${(cause as Error).message})`);
  }
  return checked(text, `the content of ${path}`);
}

function checked(text: string, what: string): string {
  const token = text.trim();
  if (!bearer.test(token)) throw invalid(what, '…', 'one bearer token, such as `dropstream token create` prints');
  return token;
}
