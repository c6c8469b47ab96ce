/** How the curves are drawn: by step or epoch, smoothed, on logarithmic axes, and how much of the training is shown. */
export interface ChartView {
  readonly by: 'step' | 'epoch';
  readonly axis: 'step' | 'epoch';
  readonly smoothing: number;
  readonly log: boolean;
  /** Whether the axis reaches to the end of the training, or to the newest step. */
  readonly whole: boolean;
}

export const firstView: ChartView = { by: 'step', axis: 'step', smoothing: 0.6, log: false, whole: false };

interface Props {
  readonly view: ChartView;
  readonly onView: (view: ChartView) => void;
  readonly zoomed: boolean;
  readonly onReset: () => void;
}

export function ChartControls({ view, onView, zoomed, onReset }: Props) {
  return (
    <div class="chart-controls">
      <Choice
        title="Values"
        value={view.by}
        words={{ step: 'of steps', epoch: 'means of epochs' }}
        onChange={(by) => onView({ ...view, by })}
      />
      <Choice title="Axis" value={view.axis} words={{ step: 'steps', epoch: 'epochs' }} onChange={(axis) => onView({ ...view, axis })} />
      <label>
        Smoothing
        <input
          type="range"
          min={0}
          max={0.99}
          step={0.01}
          value={view.smoothing}
          onInput={({ currentTarget }) => onView({ ...view, smoothing: currentTarget.valueAsNumber })}
        />
        <output class="n">{view.smoothing.toFixed(2)}</output>
      </label>
      <label>
        <input type="checkbox" checked={view.log} onChange={({ currentTarget }) => onView({ ...view, log: currentTarget.checked })} /> Log
        axes
      </label>
      <label>
        <input type="checkbox" checked={view.whole} onChange={({ currentTarget }) => onView({ ...view, whole: currentTarget.checked })} />{' '}
        To the end of training
      </label>
      <button type="button" class="quiet" disabled={!zoomed} onClick={onReset}>
        Show everything
      </button>
    </div>
  );
}

interface ChoiceProps<T extends string> {
  readonly title: string;
  readonly value: T;
  readonly words: Record<T, string>;
  readonly onChange: (value: T) => void;
}

function Choice<T extends string>({ title, value, words, onChange }: ChoiceProps<T>) {
  return (
    <label>
      {title}
      <select value={value} onChange={({ currentTarget }) => onChange(currentTarget.value as T)}>
        {(Object.keys(words) as T[]).map((word) => (
          <option key={word} value={word}>
            {words[word]}
          </option>
        ))}
      </select>
    </label>
  );
}
