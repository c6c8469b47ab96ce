/** Which runs are shown. The address has the filter, so that it can be shared and the browser's "back" works. */
import { link } from '../app/route.js';

const states = ['', 'queued', 'running', 'paused', 'succeeded', 'failed', 'cancelled'];

/** The state that the filter is about, if it is about nothing else. */
const stateIn = (filter: string): string | undefined => /^state = ([A-Z]+)$/.exec(filter)?.[1]?.toLowerCase();

export function FilterForm({ project, filter, problem }: { readonly project: string; readonly filter: string; readonly problem: string }) {
  const go = (wanted: string) => {
    location.hash = link(`${project}/runs`, { filter: wanted });
  };
  return (
    <form
      class="filter"
      onSubmit={(event) => {
        event.preventDefault();
        go(String(new FormData(event.currentTarget).get('filter') ?? '').trim());
      }}
    >
      <label>
        State
        <select
          value={filter === '' ? '' : (stateIn(filter) ?? 'other')}
          onChange={({ currentTarget: { value } }) => go(value === '' ? '' : `state = ${value.toUpperCase()}`)}
        >
          {states.map((state) => (
            <option key={state} value={state}>
              {state || 'any'}
            </option>
          ))}
          {filter !== '' && stateIn(filter) === undefined && <option value="other">as filtered</option>}
        </select>
      </label>
      <label class="grow">
        Filter
        <input
          key={filter}
          name="filter"
          defaultValue={filter}
          placeholder="state = RUNNING AND labels.team = vision"
          spellcheck={false}
          aria-invalid={problem !== ''}
          aria-describedby={problem === '' ? undefined : 'filter-problem'}
        />
      </label>
      <button type="submit">Filter</button>
      {problem !== '' && (
        <p id="filter-problem" class="problem">
          {problem}
        </p>
      )}
    </form>
  );
}
