/** The workers that compute a run together, and which leaves of a step each of them has. */
import type { GroupRecord } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import { count } from '../format/numbers.js';

export function Members({ group }: { readonly group: Json<GroupRecord> }) {
  const { members = [], fromStep, fingerprint } = group;
  const leaves = members.reduce((sum, { leaves: own = [] }) => sum + own.length, 0);
  return (
    <section class="card" aria-labelledby="members-title">
      <div class="card-head">
        <h2 id="members-title">Members</h2>
        <span class="muted">since step {count(num(fromStep))}</span>
      </div>
      <div class="table-frame flat">
        <table>
          <thead>
            <tr>
              <th scope="col">Worker</th>
              <th scope="col">Leaves</th>
              <th scope="col" class="n">
                Share
              </th>
            </tr>
          </thead>
          <tbody>
            {members.map(({ worker, leaves: own = [] }, k) => (
              <tr key={worker}>
                <th scope="row" class="mono">
                  {worker} {k === 0 && <span class="label">leads</span>}
                </th>
                <td class="mono">{ranges(own) || '–'}</td>
                <td class="n">{leaves === 0 ? '–' : `${Math.round((100 * own.length) / leaves)} %`}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {fingerprint && <p class="muted">Numerics: {fingerprint}</p>}
    </section>
  );
}

/** `0–3, 7` of ascending numbers. */
function ranges(numbers: readonly number[]): string {
  const found: [number, number][] = [];
  for (const number of numbers) {
    const last = found.at(-1);
    if (last !== undefined && last[1] + 1 === number) last[1] = number;
    else found.push([number, number]);
  }
  return found.map(([first, last]) => (first === last ? String(first) : `${first}–${last}`)).join(', ');
}
