/** Tests that make certificates need the openssl command. */
import { execFileSync } from 'node:child_process';

/** False, or why such a test is skipped. */
export const noOpenssl: false | string = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no openssl command to make certificates with';
  }
})();
