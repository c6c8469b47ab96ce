/** Authorities and certificates for tests, made with the openssl command, and files of them that are replaced as operators do it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export interface Pair {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface Authority {
  readonly certificate: Buffer;
  /** Signs the request in a file. */
  sign(request: string, certificate: string, seconds: number): void;
  /**
   * A certificate for localhost and 127.0.0.1 with the URI `spiffe://test/NAME`, followed by that of the authority if it has a parent.
   * @param name undefined: it has no URI
   * @param seconds until it expires; below 0: it has expired
   */
  issue(name: string | undefined, seconds?: number): Pair;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const openssl = (...argv: string[]): void => void execFileSync('openssl', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
/** As openssl wants it: 20270131120000Z. */
const stamp = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
const DAY = 86_400;

/** @param parent signs the certificate of the authority; default: it signs itself */
export function makeAuthority(t: Pick<TestContext, 'after'>, name: string, parent?: Authority): Authority {
  const folder = mkdtempSync(join(tmpdir(), 'dropstream-certificates-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const at = (file: string): string => join(folder, file);
  const own = [...newKey, '-keyout', at('ca.key'), '-subj', `/CN=${name}`];
  if (parent) {
    openssl('req', '-new', ...own, '-out', at('ca.csr'), '-addext', 'basicConstraints=critical,CA:TRUE');
    parent.sign(at('ca.csr'), at('ca.pem'), 2 * DAY);
  } else openssl('req', '-x509', ...own, '-out', at('ca.pem'), '-days', '2');
  writeFileSync(at('index.txt'), '');
  writeFileSync(
    at('ca.conf'),
    `[ca]
default_ca = own
[own]
database = ${at('index.txt')}
new_certs_dir = ${folder}
certificate = ${at('ca.pem')}
private_key = ${at('ca.key')}
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
copy_extensions = copy
[any]
commonName = supplied
`,
  );
  let issued = 0;
  const sign: Authority['sign'] = (request, certificate, seconds) => {
    const end = Date.now() + seconds * 1000;
    const dates = ['-startdate', stamp(Math.min(end, Date.now()) - DAY * 1000), '-enddate', stamp(end)];
    openssl('ca', '-batch', '-notext', '-config', at('ca.conf'), '-in', request, '-out', certificate, ...dates);
  };
  return {
    certificate: readFileSync(at('ca.pem')),
    sign,
    issue: (subject, seconds = DAY) => {
      const id = ++issued;
      const [key, request, certificate] = [at(`${id}.key`), at(`${id}.csr`), at(`${id}.pem`)];
      const uri = subject === undefined ? '' : `,URI:spiffe://test/${subject}`;
      const names = `subjectAltName=DNS:localhost,IP:127.0.0.1${uri}`;
      openssl('req', '-new', ...newKey, '-keyout', key, '-out', request, '-subj', `/CN=${subject ?? 'nobody'}`, '-addext', names);
      sign(request, certificate, seconds);
      const chain = [certificate, ...(parent ? [at('ca.pem')] : [])].map((file) => readFileSync(file));
      return { certificate: Buffer.concat(chain), key: readFileSync(key) };
    },
  };
}

/**
 * Files as Kubernetes mounts a secret: the names are links through the link `..data` to a folder, and a new version is a new folder to which `..data`
 * is turned in one step.
 */
export class SecretMount {
  #versions = 0;

  constructor(
    readonly folder: string,
    files: Readonly<Record<string, Buffer | string>>,
  ) {
    this.replace(files);
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), this.at(name));
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  replace(files: Readonly<Record<string, Buffer | string>>): void {
    const version = mkdtempSync(join(this.folder, `..version-${++this.#versions}-`));
    for (const [name, content] of Object.entries(files)) writeFileSync(join(version, name), content);
    symlinkSync(version, join(this.folder, '..data_tmp'));
    renameSync(join(this.folder, '..data_tmp'), join(this.folder, '..data'));
  }
}
