/** The values of a schedule as fields, beside the curve. */
import type { DropMode, DropShape } from '#schedule/index.js';
import type { Draft } from './draft.js';

interface Props {
  readonly draft: Draft;
  /** Length of the training for which the curve is drawn. */
  readonly epochs: number;
  readonly onDraft: (draft: Draft) => void;
  readonly onEpochs: (epochs: number) => void;
}

export function DraftFields({ draft, epochs, onDraft, onEpochs }: Props) {
  return (
    <div class="fields compact">
      <label>
        What is dropped
        <select value={draft.kind} onChange={({ currentTarget }) => onDraft({ ...draft, kind: currentTarget.value as Draft['kind'] })}>
          <option value="dropout">dropout</option>
          <option value="drop_path">stochastic depth</option>
        </select>
      </label>
      <label>
        When
        <select value={draft.mode} onChange={({ currentTarget }) => onDraft(withMode(draft, currentTarget.value as DropMode))}>
          <option value="standard">always (standard)</option>
          <option value="early">early</option>
          <option value="late">late</option>
        </select>
      </label>
      <label>
        How
        <select
          value={draft.schedule}
          disabled={draft.mode !== 'early'}
          onChange={({ currentTarget }) => onDraft({ ...draft, schedule: currentTarget.value as DropShape })}
        >
          <option value="constant">constant</option>
          <option value="linear">falls to 0</option>
        </select>
      </label>
      <Num title="Rate" value={draft.rate} step={0.005} most={0.995} onValue={(rate) => onDraft({ ...draft, rate })} />
      <Num
        title="Cutoff epoch"
        value={draft.cutoffEpoch}
        step={1}
        most={epochs}
        disabled={draft.mode === 'standard'}
        onValue={(cutoffEpoch) => onDraft({ ...draft, cutoffEpoch })}
      />
      <Num title="Shown for epochs" value={epochs} step={1} least={1} most={100_000} onValue={onEpochs} />
    </div>
  );
}

/** Only early drop can fall. */
const withMode = (draft: Draft, mode: DropMode): Draft => ({ ...draft, mode, schedule: mode === 'early' ? draft.schedule : 'constant' });

interface NumProps {
  readonly title: string;
  readonly value: number;
  readonly step: number;
  readonly least?: number;
  readonly most: number;
  readonly disabled?: boolean;
  readonly onValue: (value: number) => void;
}

function Num({ title, value, step, least = 0, most, disabled = false, onValue }: NumProps) {
  return (
    <label>
      {title}
      <input
        type="number"
        value={value}
        min={least}
        max={most}
        step={step}
        disabled={disabled}
        onInput={({ currentTarget: { valueAsNumber } }) =>
          Number.isFinite(valueAsNumber) && valueAsNumber >= least && valueAsNumber <= most && onValue(valueAsNumber)
        }
      />
    </label>
  );
}
