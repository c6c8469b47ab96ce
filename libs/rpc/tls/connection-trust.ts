/**
 * Whether the client certificate of a connection still counts. TLS decides when a connection begins; here, a connection ends when its certificate
 * expires or when its authority is removed. Its calls end with UNAVAILABLE: a caller that has another certificate by then connects again with it, and
 * TLS refuses all others.
 */
import { X509Certificate } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Http2Session } from 'node:http2';
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls';
import { Unavailable } from '#errors/errors.js';
import { sessionOf } from '../connection-signal.js';
import { certificatesOf, endsAtMs, standsUnder } from './certificates.js';

interface Known {
  readonly chain: readonly X509Certificate[];
  readonly end: AbortController;
}

const LOOK_MS = 500;
/** How long the calls of a connection have to send their status. */
const GRACE_MS = 1000;
const MOST_SENT = 10;

export class ConnectionTrust {
  readonly #known = new Map<Http2Session, Known>();
  /** undefined as long as TLS has decided by the same ones. */
  #authorities: readonly X509Certificate[] | undefined;
  readonly #timer: NodeJS.Timeout;

  /** The owner closes it. */
  constructor(lookMs = LOOK_MS) {
    this.#timer = setInterval(() => this.#look(), lookMs).unref();
  }

  /** Aborts with the error for the calls of the connection. undefined: the connection of the call is not known, or not one with a certificate. */
  signalOf(call: object): AbortSignal | undefined {
    const session = sessionOf(call);
    if (session === undefined || session.destroyed) return undefined;
    const before = this.#known.get(session);
    if (before) return before.end.signal;
    const chain = chainOf(session.socket as TLSSocket);
    if (chain.length === 0) return undefined;
    const end = new AbortController();
    // Every call of the connection listens to it.
    setMaxListeners(0, end.signal);
    const known = { chain, end };
    this.#known.set(session, known);
    session.once('close', () => this.#known.delete(session));
    this.#check(session, known);
    return end.signal;
  }

  /** Replaces the authorities. */
  use(clientAuthority: Buffer): void {
    this.#authorities = certificatesOf({ option: '', path: '', content: clientAuthority });
    this.#look();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const [session, known] of this.#known) this.#check(session, known);
  }

  #check(session: Http2Session, { chain, end }: Known): void {
    if (end.signal.aborted) return;
    const now = Date.now();
    const expired = endsAtMs(chain[0]!) <= now;
    if (!expired && (this.#authorities === undefined || standsUnder(chain, this.#authorities, now))) return;
    const why = expired ? 'has expired' : 'is of an authority that does not count any more';
    end.abort(new Unavailable(`the connection, whose client certificate ${why},`, 100));
    // Sends GOAWAY and takes no new calls.
    session.close();
    const timer = setTimeout(() => session.destroy(), GRACE_MS);
    session.once('close', () => clearTimeout(timer));
  }
}

/** The certificate that the caller has shown, those that it has sent with it, and the authority. */
function chainOf(socket: TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (next?.raw && chain.length < MOST_SENT) {
    chain.push(new X509Certificate(next.raw));
    // A certificate that signed itself is its own issuer.
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}
