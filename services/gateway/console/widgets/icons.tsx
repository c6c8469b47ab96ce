/** Signs that are drawn, so that they look the same everywhere. They say nothing that words beside them do not. */
import type { RunStateWord } from '../format/words.js';

const paths: Record<RunStateWord, string> = {
  queued: 'M8 3.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9',
  running: 'M5.5 3.5v9l7-4.5z',
  paused: 'M5.5 4v8M10.5 4v8',
  succeeded: 'M3.5 8.5l3 3.2l6-7',
  failed: 'M4 4l8 8M12 4l-8 8',
  cancelled: 'M3.5 8h9',
  unknown: 'M8 8h.01',
};

export function StateMark({ state, note }: { readonly state: RunStateWord; readonly note?: string }) {
  return (
    <span class={`state state-${state}`}>
      <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
        <path d={paths[state]} />
      </svg>
      {note ?? state}
    </span>
  );
}

/** The sign of the product: the curve of early dropout. */
export function Brand() {
  return (
    <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true" class="brand-sign">
      <rect width="32" height="32" rx="7" />
      <path d="M6 8h5c4 0 5 14 9 14h6" />
    </svg>
  );
}
