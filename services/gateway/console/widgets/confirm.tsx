/** Asks before something that cannot be taken back. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import { store, useStore } from './store.js';

interface Question {
  readonly title: string;
  readonly text: string;
  /** The word on the button that does it. */
  readonly action: string;
  readonly answer: (yes: boolean) => void;
}

const question = store<Question | undefined>(undefined);

/** Resolves with true if the reader agrees. */
export const confirm = (asked: Omit<Question, 'answer'>): Promise<boolean> =>
  new Promise((answer) => {
    question.get()?.answer(false);
    question.set({ ...asked, answer });
  });

export function ConfirmDialog() {
  const asked = useStore(question);
  const dialog = useRef<HTMLDialogElement>(null);
  // Before the next frame, so that no key comes in between.
  useLayoutEffect(() => {
    if (asked !== undefined && !dialog.current?.open) dialog.current?.showModal();
    if (asked === undefined) dialog.current?.close();
  }, [asked]);
  const answer = (yes: boolean) => {
    asked?.answer(yes);
    question.set(undefined);
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby="confirm-title" onClose={() => answer(false)}>
      {asked && (
        <>
          <h2 id="confirm-title">{asked.title}</h2>
          <p>{asked.text}</p>
          <div class="buttons">
            <button type="button" onClick={() => answer(false)}>
              Keep it
            </button>
            <button type="button" class="danger" onClick={() => answer(true)}>
              {asked.action}
            </button>
          </div>
        </>
      )}
    </dialog>
  );
}
