/** The runs that would take over a change of a schedule, and what it would mean for each. */
import type { Schedule } from '#protocol/dropstream/v1/scheduler.js';
import { call } from '../api/call.js';
import { type Json, num } from '../api/json.js';
import { useCall } from '../api/use-call.js';
import { link } from '../app/route.js';
import { count, significant } from '../format/numbers.js';
import { idOf } from '../format/words.js';
import { type Draft, draftOf, problemOf, rateAt } from './draft.js';
import { FollowerCurve } from './follower-curve.js';

const ACTIVE = 'state = (QUEUED OR RUNNING OR PAUSED)';
const EVERY_MS = 5000;

export function Followers({
  project,
  schedule,
  draft,
}: {
  readonly project: string;
  readonly schedule: Json<Schedule>;
  readonly draft: Draft;
}) {
  const { data } = useCall(
    async (signal) => {
      const { runs = [] } = await call('TrainerService/ListRuns', { parent: project, filter: ACTIVE, pageSize: 1000 }, { signal });
      return runs.filter(({ spec }) => spec?.schedule === schedule.name && spec?.followSchedule);
    },
    [project, schedule.name],
    EVERY_MS,
  );
  if (data === undefined) return null;
  const stored = draftOf(schedule.spec);
  return (
    <section class="card" aria-labelledby="followers-title">
      <h2 id="followers-title">Runs that follow</h2>
      {data.length === 0 && <p class="muted">No run that has not ended follows this schedule, so a change concerns future runs only.</p>}
      {data.length > 0 && (
        <p class="muted">
          A new revision counts from each run's next step on. Dashed: as it is; a line: with the change; upright: where the run is.
        </p>
      )}
      {data.length > 0 && (
        <div class="table-frame flat">
          <table>
            <thead>
              <tr>
                <th scope="col">Run</th>
                <th scope="col" class="n">
                  Step
                </th>
                <th scope="col" class="n">
                  Rate now
                </th>
                <th scope="col" class="n">
                  With the change
                </th>
                <th scope="col">Until its end</th>
              </tr>
            </thead>
            <tbody>
              {data.map((run) => {
                const length = { epochs: run.spec?.epochs ?? 300, stepsPerEpoch: num(run.stepsPerEpoch) };
                const rate = (of: Draft) => {
                  const value = rateAt(of, num(run.step), length);
                  return value === undefined ? problemOf(of, length.epochs) : significant(value, 3);
                };
                return (
                  <tr key={run.uid}>
                    <th scope="row">
                      <a href={link(run.name ?? '')}>{idOf(run.name)}</a>
                    </th>
                    <td class="n">{count(num(run.step))}</td>
                    <td class="n">{rate(stored)}</td>
                    <td class="n">{rate(draft)}</td>
                    <td>
                      <FollowerCurve stored={stored} draft={draft} length={length} step={num(run.step)} />
                    </td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
