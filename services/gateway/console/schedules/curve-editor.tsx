/** The curve of a schedule with two handles: one for the rate and one for the epoch at which the drop ends or begins. */
import { useRef } from 'preact/hooks';
import { significant } from '../format/numbers.js';
import { useWidth } from '../widgets/use-width.js';
import type { Draft } from './draft.js';

interface Props {
  readonly draft: Draft;
  readonly epochs: number;
  readonly onDraft: (draft: Draft) => void;
}

const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [240, 44, 16, 12, 28];
/** Before the page is laid out. */
const FIRST_WIDTH = 600;

export function CurveEditor({ draft, epochs, onDraft }: Props) {
  const svg = useRef<SVGSVGElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame) || FIRST_WIDTH;
  const { rate, mode, schedule } = draft;
  const cutoff = mode === 'standard' ? epochs : Math.min(epochs, draft.cutoffEpoch);
  const highest = rate <= 0.25 ? 0.3 : rate <= 0.55 ? 0.6 : 1;
  const x = (epoch: number) => LEFT + (epoch / epochs) * (width - LEFT - RIGHT);
  const y = (value: number) => TOP + (1 - value / highest) * (HEIGHT - TOP - BOTTOM);
  const take = (part: 'rate' | 'cutoffEpoch', event: PointerEvent) => {
    const box = svg.current!.getBoundingClientRect();
    const [px, py] = [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * HEIGHT];
    if (part === 'rate') onDraft({ ...draft, rate: clamp(round((1 - (py - TOP) / (HEIGHT - TOP - BOTTOM)) * highest, 200), 0, 0.995) });
    else onDraft({ ...draft, cutoffEpoch: clamp(Math.round(((px - LEFT) / (width - LEFT - RIGHT)) * epochs), 0, epochs) });
  };
  const handle = (part: 'rate' | 'cutoffEpoch', label: string, cx: number, cy: number, step: number, most: number) => (
    <circle
      class="handle"
      cx={cx}
      cy={cy}
      r={7}
      role="slider"
      tabindex={0}
      aria-label={label}
      aria-valuenow={draft[part]}
      aria-valuemin={0}
      aria-valuemax={most}
      aria-orientation={part === 'rate' ? 'vertical' : 'horizontal'}
      onPointerDown={(event) => event.currentTarget.setPointerCapture(event.pointerId)}
      onPointerMove={(event) => event.currentTarget.hasPointerCapture(event.pointerId) && take(part, event)}
      onKeyDown={(event) => {
        const by = ['ArrowUp', 'ArrowRight'].includes(event.key) ? 1 : ['ArrowDown', 'ArrowLeft'].includes(event.key) ? -1 : 0;
        if (by === 0) return;
        event.preventDefault();
        onDraft({ ...draft, [part]: clamp(round(draft[part] + by * step * (event.shiftKey ? 10 : 1), 1 / step), 0, most) });
      }}
    />
  );
  const path = pathOf(draft, cutoff, epochs, x, y);
  return (
    <div ref={frame}>
      {/* biome-ignore lint/a11y/useSemanticElements: a picture is no fieldset */}
      <svg ref={svg} class="curve-editor" viewBox={`0 0 ${width} ${HEIGHT}`} role="group" aria-label="Curve of the drop rate over epochs">
        {[0, 0.5, 1].map((share) => (
          <g key={share}>
            <line class="grid" x1={LEFT} x2={width - RIGHT} y1={y(share * highest)} y2={y(share * highest)} />
            <text x={LEFT - 6} y={y(share * highest) + 4} text-anchor="end">
              {significant(share * highest, 2)}
            </text>
          </g>
        ))}
        {[0, 0.25, 0.5, 0.75, 1].map((share) => (
          <text key={share} x={x(share * epochs)} y={HEIGHT - 8} text-anchor={share === 1 ? 'end' : 'middle'}>
            {Math.round(share * epochs)}
          </text>
        ))}
        <path class="area" d={`${path}L${x(epochs)} ${y(0)}L${x(0)} ${y(0)}Z`} />
        <path class="line" d={path} />
        {handle('rate', 'Drop rate', mode === 'late' ? x(epochs) : x(0), y(rate), 0.005, 0.995)}
        {mode !== 'standard' &&
          handle('cutoffEpoch', 'Cutoff epoch', x(cutoff), mode === 'early' && schedule === 'linear' ? y(0) : y(rate / 2), 1, epochs)}
      </svg>
    </div>
  );
}

function pathOf(
  { rate, mode, schedule }: Draft,
  cutoff: number,
  epochs: number,
  x: (epoch: number) => number,
  y: (value: number) => number,
): string {
  const points: [number, number][] =
    mode === 'standard'
      ? [
          [0, rate],
          [epochs, rate],
        ]
      : mode === 'late'
        ? [
            [0, 0],
            [cutoff, 0],
            [cutoff, rate],
            [epochs, rate],
          ]
        : [
            [0, rate],
            [cutoff, schedule === 'linear' ? 0 : rate],
            [cutoff, 0],
            [epochs, 0],
          ];
  return `M${points.map(([epoch, value]) => `${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join('L')}`;
}

const clamp = (value: number, low: number, high: number): number => Math.max(low, Math.min(high, value));
const round = (value: number, per: number): number => Math.round(value * per) / per;
