import { InterchangeError } from '../interchange-error.js';

/** A .pth file that is damaged, or holds more than this reader takes. */
export class PthError extends InterchangeError {
  override readonly name = 'PthError';
  constructor(
    /** The part concerned: a zip entry, or a place in the pickle; empty for the file as a whole. */
    readonly part: string,
    readonly why: string,
    cause?: unknown,
  ) {
    super(`.pth file${part === '' ? '' : `, ${part}`}: ${why}`, cause === undefined ? undefined : { cause });
  }
}

/** Names from a file, shortened and escaped for a message. */
export const quoted = (text: string): string => JSON.stringify(text.length > 120 ? `${text.slice(0, 120)}…` : text);
