/** The options of a run. Those that differ from the defaults come first, because they are what makes the run what it is. */
import { useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { shownOptions } from '#spec/shown-options.js';
import type { Json } from '../api/json.js';
import { commandLine } from '../new-run/same-call.js';
import { Code } from '../widgets/notes.js';

export function RunOptions({ run }: { readonly run: Json<Run> }) {
  const [all, setAll] = useState(false);
  const options = shownOptions(run.spec ?? {});
  const chosen = options.filter(({ differs }) => differs);
  return (
    <section class="card" aria-labelledby="options-title">
      <div class="card-head">
        <h2 id="options-title">Options</h2>
        <label>
          <input type="checkbox" checked={all} onChange={({ currentTarget }) => setAll(currentTarget.checked)} /> All
        </label>
      </div>
      {!all && chosen.length === 0 && <p class="muted">Every option has its default.</p>}
      {(all || chosen.length > 0) && (
        <div class="table-frame flat">
          <table class="options">
            <thead>
              <tr>
                <th scope="col">Option</th>
                <th scope="col">Value</th>
                <th scope="col">Default</th>
              </tr>
            </thead>
            <tbody>
              {(all ? options : chosen).map(({ option, value, differs }) => (
                <tr key={option.name} class={differs ? 'differs' : ''} title={option.help}>
                  <th scope="row">{option.name}</th>
                  <td class="mono">{value || '–'}</td>
                  <td class="muted mono">{option.default}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <details>
        <summary>The same as a command</summary>
        <Code
          label="Command that starts a run like this"
          text={commandLine(
            Object.fromEntries(
              options.filter(({ differs, option }) => differs || given.has(option.name)).map(({ option, value }) => [option.name, value]),
            ),
          )}
        />
      </details>
    </section>
  );
}

/** What a command must name, whatever the defaults are. */
const given = new Set(['model', 'train_manifest', 'eval_manifest']);
