/** What a chart shows besides its lines: segments of the drop schedule as bands behind them, and moments of the run as marks. */
import type uPlot from 'uplot';
import type { Mark } from '../history/run-history.js';
import { chartTheme } from './theme.js';

export interface Band {
  readonly from: number;
  readonly to: number;
  /** How strong the drop is at both ends, 0 to 1 of the highest rate. */
  readonly startShare: number;
  readonly endShare: number;
}

/** The strongest tint of a band. */
const STRONGEST = 0.16;

export function drawBands(u: uPlot, bands: readonly Band[]): void {
  const { ctx, bbox } = u;
  const color = chartTheme().band;
  ctx.save();
  clip(u);
  for (const { from, to, startShare, endShare } of bands) {
    if (startShare === 0 && endShare === 0) continue;
    const [left, right] = [u.valToPos(from, 'x', true), u.valToPos(to, 'x', true)];
    if (right < bbox.left || left > bbox.left + bbox.width) continue;
    const gradient = ctx.createLinearGradient(left, 0, right, 0);
    gradient.addColorStop(0, alpha(color, STRONGEST * startShare));
    gradient.addColorStop(1, alpha(color, STRONGEST * endShare));
    ctx.fillStyle = gradient;
    ctx.fillRect(left, bbox.top, Math.max(1, right - left), bbox.height);
  }
  ctx.restore();
}

/** Resumes, revisions and failures are dashed lines, the last with a cross above; checkpoints and evaluations are small signs on the lower edge. */
export function drawMarks(u: uPlot, marks: readonly Mark[]): void {
  const { ctx, bbox } = u;
  const { ink, muted, bad, lines } = chartTheme();
  const size = 3.5 * devicePixelRatio;
  const bottom = bbox.top + bbox.height - size;
  ctx.save();
  // A sign at an end of the axis is whole.
  clip(u, size);
  for (const { kind, step } of marks) {
    const x = Math.round(u.valToPos(step, 'x', true));
    // The end of the axis may lie between two pixels.
    if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) continue;
    ctx.beginPath();
    if (kind === 'resume' || kind === 'schedule' || kind === 'failure') {
      ctx.strokeStyle = { resume: ink, schedule: lines[3]!, failure: bad }[kind];
      ctx.lineWidth = devicePixelRatio;
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.setLineDash([]);
      if (kind !== 'failure') continue;
      const top = bbox.top + size;
      ctx.beginPath();
      for (const way of [-size, size]) {
        ctx.moveTo(x - size, top - way);
        ctx.lineTo(x + size, top + way);
      }
      ctx.stroke();
    } else if (kind === 'checkpoint') {
      ctx.fillStyle = muted;
      ctx.fillRect(x - size / 2, bottom - size / 2, size, size);
    } else {
      ctx.fillStyle = lines[2]!;
      // Above the checkpoint that it evaluated.
      const y = bottom - 2 * size;
      ctx.moveTo(x, y - size);
      ctx.lineTo(x + size, y);
      ctx.lineTo(x, y + size);
      ctx.lineTo(x - size, y);
      ctx.fill();
    }
  }
  ctx.restore();
}

function clip({ ctx, bbox }: uPlot, beyond = 0): void {
  ctx.beginPath();
  ctx.rect(bbox.left - beyond, bbox.top, bbox.width + 2 * beyond, bbox.height);
  ctx.clip();
}

/** `#rrggbb` with an opacity. */
const alpha = (hex: string, opacity: number): string =>
  `${hex}${Math.round(255 * Math.min(1, opacity))
    .toString(16)
    .padStart(2, '0')}`;
