/** The table of runs. Arrow keys move between rows, Enter opens one, and ticked runs can be compared. */
import { useRef, useState } from 'preact/hooks';
import type { Run } from '#protocol/dropstream/v1/trainer.js';
import { enumWord } from '#spec/json-words.js';
import { type Json, num } from '../api/json.js';
import { link } from '../app/route.js';
import { count, duration, significant } from '../format/numbers.js';
import { ago, clock } from '../format/time.js';
import { hasEnded, idOf, stateWord } from '../format/words.js';
import { StateMark } from '../widgets/icons.js';
import { Sparkline } from './sparkline.js';
import type { Tail } from './use-tails.js';

interface Props {
  readonly runs: readonly Json<Run>[];
  readonly tails: ReadonlyMap<string, Tail>;
  readonly project: string;
}

export function RunsTable({ runs, tails, project }: Props) {
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const body = useRef<HTMLTableSectionElement>(null);
  const choose = (id: string, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    setChosen(next);
  };
  const listed = [...chosen].filter((id) => runs.some(({ name }) => idOf(name) === id));
  return (
    <>
      <div class="table-frame">
        <table class="runs">
          <thead>
            <tr>
              <th scope="col">
                <span class="hidden">Compare</span>
              </th>
              <th scope="col">Run</th>
              <th scope="col">State</th>
              <th scope="col">Progress</th>
              <th scope="col" class="n">
                Left
              </th>
              <th scope="col">Loss</th>
              <th scope="col">Top-1</th>
              <th scope="col">Drop</th>
              <th scope="col">Model</th>
              <th scope="col">Labels</th>
              <th scope="col" class="n">
                Created
              </th>
            </tr>
          </thead>
          <tbody ref={body} onKeyDown={(event) => moveRow(event, body.current)}>
            {runs.map((run) => (
              <Row key={run.uid} run={run} tail={tails.get(run.uid ?? '')} chosen={chosen.has(idOf(run.name))} onChoose={choose} />
            ))}
          </tbody>
        </table>
      </div>
      {listed.length > 0 && (
        <div class="table-foot">
          <a class="button primary" href={link(`${project}/compare`, { runs: listed.join() })}>
            Compare {listed.length} {listed.length === 1 ? 'run' : 'runs'}
          </a>
          <button type="button" class="quiet" onClick={() => setChosen(new Set())}>
            Untick all
          </button>
        </div>
      )}
    </>
  );
}

interface RowProps {
  readonly run: Json<Run>;
  readonly tail: Tail | undefined;
  readonly chosen: boolean;
  readonly onChoose: (id: string, on: boolean) => void;
}

function Row({ run, tail, chosen, onChoose }: RowProps) {
  const id = idOf(run.name);
  const state = stateWord(run.state);
  const [step, total] = [num(run.step), num(run.totalSteps)];
  const share = total === 0 ? 0 : step / total;
  const left = state === 'running' && tail?.secondsPerStep !== undefined ? (total - step) * tail.secondsPerStep : undefined;
  const created = run.createTime === undefined ? undefined : new Date(run.createTime);
  return (
    <tr class={hasEnded(state) ? 'ended' : ''}>
      <td>
        <input
          type="checkbox"
          checked={chosen}
          aria-label={`Compare ${id}`}
          onChange={({ currentTarget }) => onChoose(id, currentTarget.checked)}
        />
      </td>
      <th scope="row">
        <a href={link(run.name ?? '')}>{id}</a>
      </th>
      <td>
        <StateMark state={state} note={run.pauseRequested ? 'pausing' : state} />
        {(run.statusMessage || run.failure) && (
          <span class="why" title={run.statusMessage || run.failure}>
            {run.statusMessage || run.failure}
          </span>
        )}
      </td>
      <td>
        <div class="progress">
          <progress value={share} max={1} aria-label={`Progress of ${id}`} />
          <span class="n">{Math.floor(share * 100)} %</span>
          <span class="muted n">
            {count(step)}/{count(total)}
          </span>
        </div>
      </td>
      <td class="n">{left === undefined ? '–' : duration(left)}</td>
      <td>
        <div class="sparked">
          <Sparkline values={tail?.loss ?? []} color={1} />
          <span class="n">{tail?.loss.length ? significant(tail.loss.at(-1)!, 3) : '–'}</span>
        </div>
      </td>
      <td>
        <div class="sparked">
          <Sparkline values={tail?.top1 ?? []} color={3} />
          <span class="n">{top1Text(run, tail)}</span>
        </div>
      </td>
      <td>{dropText(run)}</td>
      <td>{run.spec?.model}</td>
      <td class="labels">
        {Object.entries(run.labels ?? {}).map(([key, value]) => (
          <span class="label" key={key}>
            {key}={value}
          </span>
        ))}
      </td>
      <td class="n" title={created === undefined ? '' : clock(created)}>
        {created === undefined ? '' : ago(created)}
      </td>
    </tr>
  );
}

function top1Text({ bestTop1 }: Json<Run>, tail: Tail | undefined): string {
  const value = tail?.top1.at(-1) ?? bestTop1;
  return value === undefined ? '–' : `${value.toFixed(2)} %`;
}

/** `0.1 early to 50`: what the run drops, shortly. */
function dropText({ spec, dropSegments = [] }: Json<Run>): string {
  if (spec?.schedule) return idOf(spec.schedule);
  const rate = Math.max(0, ...dropSegments.map(({ startValue = 0 }) => startValue));
  if (rate === 0) return 'none';
  const mode = enumWord(spec?.dropMode);
  const shape = mode === 'early' && enumWord(spec?.dropSchedule) === 'linear' ? ' linear' : '';
  return `${significant(rate, 3)} ${mode}${shape}`;
}

/** Arrow keys, Home and End move the focus to the link of another row. */
function moveRow(event: KeyboardEvent, body: HTMLTableSectionElement | null): void {
  const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, Home: Number.NEGATIVE_INFINITY, End: Number.POSITIVE_INFINITY };
  const by = steps[event.key];
  const row = (event.target as HTMLElement).closest('tr');
  if (by === undefined || row === null || body === null) return;
  const rows = [...body.rows];
  const to = Math.min(rows.length - 1, Math.max(0, rows.indexOf(row) + by));
  const kind = (event.target as HTMLElement).matches('input') ? 'input' : 'a';
  rows[to]?.querySelector<HTMLElement>(kind)?.focus();
  event.preventDefault();
}
