/** The caller's token. It is kept for the tab only, and a call without a valid one asks for it. */
import { store } from '../widgets/store.js';

const KEY = 'dropstream-token';

const read = (): string => {
  try {
    return sessionStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
};

export const token = store(read());
/** Why a token is asked for; empty if none is needed. */
export const tokenWanted = store('');

export function enterToken(value: string): void {
  try {
    if (value === '') sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {
    // A browser without storage keeps the token as long as the page is open.
  }
  tokenWanted.set('');
  token.set(value);
}
