/** A file of weights that cannot be taken as what it should be. The message says what was found and what is allowed. */
export class InterchangeError extends Error {
  override readonly name: string = 'InterchangeError';
}
