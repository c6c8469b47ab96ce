/** What is shown instead of, or above, something: errors, emptiness, waiting. */
import type { ComponentChildren } from 'preact';
import { RpcError } from '../api/rpc-error.js';

const titles: Record<string, string> = {
  unreachable: 'The gateway cannot be reached.',
  unavailable: 'The service does not answer.',
  deadline_exceeded: 'The service did not answer in time.',
  permission_denied: 'You may not do this.',
  unauthenticated: 'A token is needed.',
  not_found: 'There is no such thing.',
  unimplemented: 'This gateway does not offer that call.',
};

/** `stale`: something older is still shown below. */
export function ErrorNote({ error, stale = false }: { readonly error: Error; readonly stale?: boolean }) {
  const code = error instanceof RpcError ? error.code : '';
  const away = code === 'unreachable' || code === 'unavailable' || code === 'deadline_exceeded';
  return (
    <div class={`note ${away ? 'note-away' : 'note-error'}`} role="alert">
      <strong>{titles[code] ?? 'This did not work.'}</strong>
      {error.message !== titles[code] && <p>{error.message}</p>}
      {away && <p>{stale ? 'What is shown is what it said last. ' : ''}The page tries again by itself.</p>}
    </div>
  );
}

/** `page`: it is all that the page shows. */
export function Empty({
  title,
  page = false,
  children,
}: {
  readonly title: string;
  readonly page?: boolean;
  readonly children?: ComponentChildren;
}) {
  return (
    <div class="empty">
      {page ? <h1>{title}</h1> : <strong>{title}</strong>}
      {children}
    </div>
  );
}

export const Waiting = ({ what }: { readonly what: string }) => (
  <p class="waiting" role="status">
    {what} …
  </p>
);

/** A command to copy. */
export function Code({ text, label }: { readonly text: string; readonly label: string }) {
  return (
    <div class="code">
      {/* biome-ignore lint/a11y/useSemanticElements: a group is no landmark, of which there would be too many */}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <pre tabIndex={0} role="group" aria-label={label}>
        {text}
      </pre>
      <button type="button" class="quiet" onClick={() => void navigator.clipboard?.writeText(text)} aria-label={`Copy: ${label}`}>
        Copy
      </button>
    </div>
  );
}
