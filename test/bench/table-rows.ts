/** The rows of docs/performance.md: what is measured, and how much faster than PyTorch's best it has to be. */

export interface TableRow {
  /** Such as it stands in the table. */
  name: string;
  /** For bench:train. */
  args: readonly string[];
  /** Ratio to PyTorch's best: the least that is accepted, and what is hoped for. Absent: measured only. */
  atLeast?: number;
  aim?: number;
}

const row = (name: string, args: string, atLeast?: number, aim?: number): TableRow => ({
  name,
  args: args.split(' '),
  ...(atLeast !== undefined && { atLeast }),
  ...(aim !== undefined && { aim }),
});

const vitTiny = '--model vit_tiny --precision bf16';

export const tableRows: readonly TableRow[] = [
  row('vit_tiny bf16', `${vitTiny} --batch 32 --peer`, 1.25, 1.4),
  row('vit_tiny fp32', '--model vit_tiny --precision fp32 --batch 32 --peer', 1.2, 1.3),
  row('mixer_s32 bf16', '--model mixer_s32 --precision bf16 --batch 32 --peer', 1.2, 1.3),
  row('mixer_s16 bf16', '--model mixer_s16 --precision bf16 --batch 32 --peer', 1.1, 1.2),
  row('swin_femto bf16', '--model swin_femto --precision bf16 --batch 32 --peer', 1.6, 2),
  row('convnext_femto bf16', '--model convnext_femto --precision bf16 --batch 32 --peer', 1.5, 2),
  row('vit_tiny bf16, forward only', `${vitTiny} --batch 32 --forward --peer`, 1.25, 1.4),
  row('vit_tiny bf16, `--drop_path 0.5`', `${vitTiny} --batch 32 --drop_path 0.5 --peer`, 1.5, 1.8),
  row('vit_tiny bf16, `--dropout 0.1`', `${vitTiny} --batch 32 --dropout 0.1 --peer`, 2.2, 2.5),
  row('vit_tiny bf16, EMA and clipping', `${vitTiny} --batch 32 --ema --clip 1 --peer`),
  row('vit_base bf16, batch 8', '--model vit_base --precision bf16 --batch 8 --peer'),
  row('vit_tiny bf16, batch 128 × update_freq 4', `${vitTiny} --batch 128 --update_freq 4`),
  row('vit_tiny bf16, batch 128 × update_freq 16', `${vitTiny} --batch 128 --update_freq 16`),
];
