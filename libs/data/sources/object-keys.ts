/** Where the files of a data set lie in an object store. */

/** Pushed files: by their content, so that a file is stored once, never changes, and is there or not. `sha256`: 64 hex digits. */
export const pushedKey = (sha256: string): string => `${pushedPrefix(sha256.slice(0, 2))}${sha256}`;

/** `start`: two hex digits. */
export const pushedPrefix = (start: string): string => `datasets/objects/${start}/`;
