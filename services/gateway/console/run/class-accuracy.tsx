/** How many images of each class the newest evaluated checkpoint recognises, the worst classes first. */
import { useState } from 'preact/hooks';
import { num } from '../api/json.js';
import { count, percent } from '../format/numbers.js';
import { idOf } from '../format/words.js';
import type { RunHistory } from '../history/run-history.js';

const FIRST = 12;

export function ClassAccuracy({ history }: { readonly history: RunHistory }) {
  const [all, setAll] = useState(false);
  const newest = history.evaluations.findLast(({ record }) => (record.result?.weights?.classSamples?.length ?? 0) > 0);
  if (newest === undefined) return null;
  const { classCorrect = [], classSamples = [] } = newest.record.result!.weights!;
  const rows = classSamples
    .map((samples, k) => ({
      name: history.classes[k] ?? `class ${k}`,
      samples: num(samples),
      share: num(samples) === 0 ? Number.NaN : num(classCorrect[k]) / num(samples),
    }))
    .filter(({ samples }) => samples > 0)
    .sort((a, b) => a.share - b.share);
  return (
    <section class="card" aria-labelledby="classes-title">
      <div class="card-head">
        <h2 id="classes-title">Accuracy by class</h2>
        <span class="muted">{idOf(newest.checkpoint)}, worst first</span>
      </div>
      <table class="bars">
        <thead class="hidden">
          <tr>
            <th scope="col">Class</th>
            <th scope="col">Accuracy</th>
            <th scope="col">Images</th>
          </tr>
        </thead>
        <tbody>
          {(all ? rows : rows.slice(0, FIRST)).map(({ name, samples, share }) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>
                <meter value={share} min={0} max={1} aria-label={`Accuracy of ${name}`} />
              </td>
              <td class="n">{percent(share)}</td>
              <td class="n muted">{count(samples)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {!all && rows.length > FIRST && (
        <button type="button" class="quiet" onClick={() => setAll(true)}>
          Show all {rows.length}
        </button>
      )}
    </section>
  );
}
