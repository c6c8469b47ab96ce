/** The checkpoints of a run and how good they are. */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { Checkpoint } from '#protocol/dropstream/v1/trainer.js';
import { type Json, num } from '../api/json.js';
import { bytes, count } from '../format/numbers.js';
import { idOf } from '../format/words.js';

/** What is shown below a checkpoint that the reader has chosen; without it, nothing can be chosen. */
type UsesOf = (name: string) => ComponentChildren;

interface Props {
  readonly checkpoints: readonly Json<Checkpoint>[];
  readonly usesOf?: UsesOf;
}

export function CheckpointTable({ checkpoints, usesOf }: Props) {
  const [open, setOpen] = useState('');
  if (checkpoints.length === 0) return <p class="muted">There is no checkpoint yet.</p>;
  return (
    <div class="table-frame flat">
      <table>
        <thead>
          <tr>
            <th scope="col">Checkpoint</th>
            <th scope="col" class="n">
              Step
            </th>
            <th scope="col" class="n">
              Top-1
            </th>
            <th scope="col" class="n">
              Size
            </th>
            {usesOf && (
              <th scope="col">
                <span class="hidden">Actions</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {checkpoints.map((checkpoint) => (
            <Row key={checkpoint.name} checkpoint={checkpoint} open={open === checkpoint.name} onOpen={setOpen} usesOf={usesOf} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  readonly checkpoint: Json<Checkpoint>;
  readonly open: boolean;
  readonly onOpen: (name: string) => void;
  readonly usesOf: UsesOf | undefined;
}

function Row({ checkpoint, open, onOpen, usesOf }: RowProps) {
  const { name = '', files = [] } = checkpoint;
  const size = files.reduce((sum, { sizeBytes }) => sum + num(sizeBytes), 0);
  return (
    <>
      <tr>
        <th scope="row" class="mono">
          {idOf(name)} {checkpoint.best && <span class="label good">best</span>}
        </th>
        <td class="n">{count(num(checkpoint.step))}</td>
        <td class="n">{checkpoint.top1 === undefined ? '–' : `${checkpoint.top1.toFixed(2)} %`}</td>
        <td class="n">{bytes(size)}</td>
        {usesOf && (
          <td class="end">
            <button type="button" class="quiet" aria-expanded={open} onClick={() => onOpen(open ? '' : name)}>
              {open ? 'Close' : 'Use'}
            </button>
          </td>
        )}
      </tr>
      {open && (
        <tr>
          <td colSpan={5}>{usesOf?.(name)}</td>
        </tr>
      )}
    </>
  );
}
