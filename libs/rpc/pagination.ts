/**
 * List pages (aip.dev/158). A page token is opaque: the key after which the next page starts, bound to the request that it came from, so
 * a token of another list is refused instead of skipping items.
 */
import { createHash } from 'node:crypto';
import { invalid, type Violations } from '#errors/errors.js';

export interface PageLimits {
  /** Items on a page when `page_size` is 0. */
  readonly defaultSize: number;
  /** A larger `page_size` is lowered to this. */
  readonly maxSize: number;
}

const defaultPageLimits: PageLimits = { defaultSize: 50, maxSize: 1000 };

export interface Page {
  readonly size: number;
  /** Start after this key; undefined on the first page. */
  readonly after: string | undefined;
}

/**
 * Reads `page_size` and `page_token`. `binding` names the list: method, parent, filter and order, as one string.
 * Throws InvalidArgument for a negative size or a token that was not made for this list.
 */
export function parsePage(
  request: { readonly pageSize: number; readonly pageToken: string },
  binding: string,
  limits: PageLimits = defaultPageLimits,
): Page {
  if (request.pageSize < 0) throw invalid('page_size', request.pageSize, `0 (for ${limits.defaultSize}) to ${limits.maxSize}`);
  const size = request.pageSize === 0 ? limits.defaultSize : Math.min(request.pageSize, limits.maxSize);
  if (request.pageToken === '') return { size, after: undefined };
  const after = decodeToken(request.pageToken, binding);
  if (after === undefined) throw invalid('page_token', request.pageToken, 'empty or a next_page_token of the same list');
  return { size, after };
}

/** parsePage that collects instead of throwing. */
export function checkPage(
  violations: Violations,
  request: { readonly pageSize: number; readonly pageToken: string },
  binding: string,
  limits: PageLimits = defaultPageLimits,
): Page | undefined {
  return violations.collect(() => parsePage(request, binding, limits));
}

/** The token of the page that starts after `lastKey`. */
export function nextPageToken(lastKey: string, binding: string): string {
  return Buffer.concat([digest(lastKey, binding), Buffer.from(lastKey, 'utf8')]).toString('base64url');
}

/** Cuts one page out of keys sorted ascending. `nextPageToken` is '' on the last page. */
export function pageOf<T>(
  items: readonly T[],
  keyOf: (item: T) => string,
  page: Page,
  binding: string,
): { items: T[]; nextPageToken: string } {
  const { after } = page;
  const rest = after === undefined ? items : items.filter((item) => keyOf(item) > after);
  const taken = rest.slice(0, page.size);
  const last = taken.at(-1);
  return { items: taken, nextPageToken: last !== undefined && rest.length > taken.length ? nextPageToken(keyOf(last), binding) : '' };
}

function decodeToken(token: string, binding: string): string | undefined {
  if (token.length > 2048 || !/^[A-Za-z0-9_-]+$/.test(token)) return undefined;
  const bytes = Buffer.from(token, 'base64url');
  if (bytes.length < 9) return undefined;
  const key = bytes.subarray(8).toString('utf8');
  return digest(key, binding).equals(bytes.subarray(0, 8)) && nextPageToken(key, binding) === token ? key : undefined;
}

/** Ties key and list together; not a secret: it guards against mistakes, not against callers. */
function digest(key: string, binding: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([binding, key]))
    .digest()
    .subarray(0, 8);
}
