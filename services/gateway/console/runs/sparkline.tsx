import { sparkPath } from '../series/spark.js';

/** A curve without axes, as high as a line of text. The number beside it says where it ended. */
export function Sparkline({ values, color }: { readonly values: readonly number[]; readonly color: number }) {
  const [width, height] = [96, 22];
  return (
    <svg class={`spark line-${color}`} viewBox={`0 0 ${width} ${height}`} width={width} height={height} aria-hidden="true">
      <path d={sparkPath(values, width, height)} />
    </svg>
  );
}
