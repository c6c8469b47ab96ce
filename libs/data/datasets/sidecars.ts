/** Names that operating systems and tools leave beside the data of people: never classes, samples or shards. */

const FOLDERS = new Set(['__macosx', '@eadir', '$recycle.bin', 'system volume information', 'lost+found', '__pycache__']);

/** Hidden names ('._x.jpg' of macOS, '.ipynb_checkpoints', '.DS_Store') and the folders that only hold such things. */
export const isSidecar = (name: string): boolean => name.startsWith('.') || FOLDERS.has(name.toLowerCase());

/** Whether any part of a path, '/' between segments, is a sidecar. */
export const inSidecar = (path: string): boolean => path.split('/').some(isSidecar);
