/** Labels of a new run, as `key=value`. */
import { useState } from 'preact/hooks';

interface Props {
  readonly labels: Readonly<Record<string, string>>;
  readonly onLabels: (labels: Readonly<Record<string, string>>) => void;
}

export function Labels({ labels, onLabels }: Props) {
  const [text, setText] = useState(
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(' '),
  );
  const take = (typed: string) => {
    setText(typed);
    onLabels(Object.fromEntries(typed.split(/[\s,]+/).flatMap((part) => (part === '' ? [] : [split(part)]))));
  };
  return (
    <div class="field">
      <label for="labels">Labels</label>
      <input
        id="labels"
        value={text}
        placeholder="team=vision stage=test"
        spellcheck={false}
        onInput={({ currentTarget }) => take(currentTarget.value)}
      />
    </div>
  );
}

function split(part: string): [string, string] {
  const at = part.indexOf('=');
  return at < 0 ? [part, ''] : [part.slice(0, at), part.slice(at + 1)];
}
