/** What happened to a run, in words, newest first. */
import { useState } from 'preact/hooks';
import { clock } from '../format/time.js';
import type { LogLine } from '../history/sentences.js';

const FIRST = 30;

export function RunLog({ lines }: { readonly lines: readonly LogLine[] }) {
  const [all, setAll] = useState(false);
  const [trouble, setTrouble] = useState(false);
  const fitting = trouble ? lines.filter(({ tone }) => tone === 'trouble') : lines;
  const shown = (all ? fitting : fitting.slice(-FIRST)).toReversed();
  return (
    <section class="card" aria-labelledby="log-title">
      <div class="card-head">
        <h2 id="log-title">Log</h2>
        <label>
          <input type="checkbox" checked={trouble} onChange={({ currentTarget }) => setTrouble(currentTarget.checked)} /> Trouble only
        </label>
      </div>
      {shown.length === 0 && <p class="muted">{trouble ? 'There was no trouble.' : 'Nothing has happened yet.'}</p>}
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable with the keyboard */}
      <ol class="log" tabIndex={0} aria-labelledby="log-title">
        {shown.map(({ sequence, time, tone, text }) => (
          <li key={sequence} class={`tone-${tone}`}>
            <time dateTime={time?.toISOString()}>{time === undefined ? '' : clock(time)}</time>
            <span>{text}</span>
          </li>
        ))}
      </ol>
      {!all && fitting.length > FIRST && (
        <button type="button" class="quiet" onClick={() => setAll(true)}>
          Show all {fitting.length}
        </button>
      )}
    </section>
  );
}
