/** Short messages about what was done, with a way to take it back where there is one. */
import { store, useStore } from './store.js';

interface Toast {
  readonly id: number;
  readonly text: string;
  readonly trouble: boolean;
  readonly undo?: { readonly label: string; readonly run: () => void } | undefined;
}

const toasts = store<readonly Toast[]>([]);
const MOST = 4;
/** Those that went well go by themselves; trouble stays until it is dismissed. */
const SHOWN_MS = 8000;
let next = 0;

const dismiss = (id: number) => toasts.set(toasts.get().filter((toast) => toast.id !== id));

export function tell(text: string, options: { readonly trouble?: boolean; readonly undo?: Toast['undo'] } = {}): void {
  const id = next++;
  toasts.set([...toasts.get().slice(1 - MOST), { id, text, trouble: options.trouble ?? false, undo: options.undo }]);
  if (!options.trouble) setTimeout(() => dismiss(id), SHOWN_MS);
}

export function Toasts() {
  const shown = useStore(toasts);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map(({ id, text, trouble, undo }) => (
        <div key={id} class={`toast ${trouble ? 'toast-trouble' : ''}`}>
          <span>{text}</span>
          {undo && (
            <button
              type="button"
              onClick={() => {
                dismiss(id);
                undo.run();
              }}
            >
              {undo.label}
            </button>
          )}
          <button type="button" class="quiet" aria-label="Dismiss" onClick={() => dismiss(id)}>
            ✕
          </button>
        </div>
      ))}
    </div>
  );
}
