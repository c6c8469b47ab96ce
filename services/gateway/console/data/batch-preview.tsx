/** A batch as training would see it, with everything that was done to each image. */
import { useEffect, useState } from 'preact/hooks';
import { call } from '../api/call.js';
import { useCall } from '../api/use-call.js';
import { ErrorNote, Waiting } from '../widgets/notes.js';
import { firstRecipe, planOf, type Recipe, SHOWN } from './recipe.js';

type NumberKey = { [K in keyof Recipe]: Recipe[K] extends number ? K : never }[keyof Recipe];

/** Sliders: [value, title, least, most, step]. */
const sliders: readonly (readonly [NumberKey, string, number, number, number])[] = [
  ['inputSize', 'Size in pixels', 16, 256, 4],
  ['randAugment', 'RandAugment strength', 0, 10, 1],
  ['colorJitter', 'Colour jitter', 0, 1, 0.05],
  ['hflip', 'Flip probability', 0, 1, 0.05],
  ['reprob', 'Erasing probability', 0, 1, 0.05],
  ['mixup', 'Mixup alpha', 0, 2, 0.1],
  ['cutmix', 'Cutmix alpha', 0, 2, 0.1],
  ['mixupProb', 'Mixing probability', 0, 1, 0.05],
];

/** Whether a value changes anything: colours are jittered in place of RandAugment. */
const has = ({ training, randAugment }: Recipe, key: NumberKey): boolean =>
  key === 'inputSize' || (training && !(key === 'colorJitter' && randAugment > 0));

const PAUSE_MS = 200;

export function BatchPreview({ project, sha256 }: { readonly project: string; readonly sha256: string }) {
  const [recipe, setRecipe] = useState<Recipe>(firstRecipe);
  const settled = useSettled(recipe);
  const { data, error } = useCall(
    (signal) =>
      call(
        'DataService/PreviewBatch',
        { parent: project, plan: planOf(settled, sha256), epoch: settled.epoch, index: settled.index, limit: SHOWN },
        { signal, timeoutMs: 30_000 },
      ),
    [project, sha256, settled],
  );
  const [kept, setKept] = useState(data);
  useEffect(() => {
    if (data !== undefined) setKept(data);
  }, [data]);
  const set = (change: Partial<Recipe>) => setRecipe({ ...recipe, ...change });
  return (
    <section class="card" aria-labelledby="preview-title">
      <div class="card-head">
        <h2 id="preview-title">A batch</h2>
        <span class="muted" role="status">
          {data === undefined && !error ? 'rendering …' : `epoch ${settled.epoch}, batch ${settled.index}`}
        </span>
      </div>
      <div class="recipe">
        <label>
          <input type="checkbox" checked={recipe.training} onChange={({ currentTarget }) => set({ training: currentTarget.checked })} /> as
          in training
        </label>
        <Stepper title="Epoch" value={recipe.epoch} onValue={(epoch) => set({ epoch })} />
        <Stepper title="Batch" value={recipe.index} onValue={(index) => set({ index })} />
        <Stepper title="Seed" value={recipe.seed} onValue={(seed) => set({ seed })} />
        {sliders.map(([key, title, least, most, step]) => (
          <label key={key}>
            {title}
            <input
              type="range"
              min={least}
              max={most}
              step={step}
              value={recipe[key]}
              disabled={!has(recipe, key)}
              onInput={({ currentTarget }) => set({ [key]: currentTarget.valueAsNumber })}
            />
            <output class="n">{recipe[key]}</output>
          </label>
        ))}
        <button type="button" class="quiet" onClick={() => setRecipe(firstRecipe)}>
          Reset
        </button>
      </div>
      {error && <ErrorNote error={error} />}
      {!kept && !error && <Waiting what="Rendering images" />}
      <ul class="images">
        {kept?.images?.map(({ sample, png, className, steps = [] }, k) => (
          <li key={`${k}:${sample}`}>
            <img
              src={`data:image/png;base64,${png}`}
              alt={`Sample ${sample ?? 0} of class ${className}, augmented`}
              width={96}
              height={96}
            />
            <strong>{className}</strong>
            <ol>
              {steps.map((step, at) => (
                <li key={at}>{step}</li>
              ))}
            </ol>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Stepper({ title, value, onValue }: { readonly title: string; readonly value: number; readonly onValue: (value: number) => void }) {
  return (
    <label>
      {title}
      <input
        type="number"
        min={0}
        step={1}
        value={value}
        onInput={({ currentTarget: { valueAsNumber } }) =>
          Number.isSafeInteger(valueAsNumber) && valueAsNumber >= 0 && onValue(valueAsNumber)
        }
      />
    </label>
  );
}

/** The value once it has not changed for a moment, so that a slider that is dragged asks once. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
