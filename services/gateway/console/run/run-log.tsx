/** What happened to a run, in words, newest first. */
import { useState } from 'preact/hooks';
import { clock } from '../format/time.js';
import type { LogLine } from '../history/sentences.js';
import { tell } from '../widgets/toasts.js';

const FIRST = 30;

interface Props {
  readonly lines: readonly LogLine[];
  /** Reads older records; undefined if there are none. */
  readonly readOlder?: (() => Promise<void>) | undefined;
}

export function RunLog({ lines, readOlder }: Props) {
  const [reading, setReading] = useState(false);
  const [all, setAll] = useState(false);
  const [trouble, setTrouble] = useState(false);
  const older = async (read: () => Promise<void>) => {
    setReading(true);
    try {
      await read();
      setAll(true);
    } catch (error) {
      tell(`Older records were not read: ${(error as Error).message}`, { trouble: true });
    } finally {
      setReading(false);
    }
  };
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
      {readOlder && (all || fitting.length <= FIRST) && (
        <button type="button" class="quiet" disabled={reading} onClick={() => void older(readOlder)}>
          {reading ? 'Reading older records …' : 'Read older records'}
        </button>
      )}
    </section>
  );
}
