/** The arithmetic of a graph: multiplications and additions of its matrix products, attention and convolutions; the rest is not counted. */
import type { Graph, Node } from '#graph/graph.js';

type Count = (sizes: Readonly<Record<string, number>>) => number;

/** `of` with every named attribute required. */
const needing =
  <Name extends string>(names: readonly Name[], of: (sizes: Record<Name, number>) => number): Count =>
  (attributes) => {
    for (const name of names) if (attributes[name] === undefined) throw new Error(`attribute ${name} is missing`);
    return of(attributes as Record<Name, number>);
  };

const product = needing(['rows', 'in', 'out'], ({ rows, in: k, out }) => 2 * rows * k * out);
const attention = (products: number) =>
  needing(['tokens', 'heads', 'head_dim'], ({ tokens, heads, head_dim }) => products * 2 * tokens ** 2 * heads * head_dim);
const windows = (products: number) =>
  needing(
    ['height', 'width', 'window', 'heads', 'head_dim'],
    ({ height, width, window, heads, head_dim }) => products * 2 * height * width * window ** 2 * heads * head_dim,
  );
const convolution = needing(
  ['height', 'width', 'channels', 'kernel'],
  ({ height, width, channels, kernel }) => 2 * height * width * channels * kernel ** 2,
);

/** Per sample. The backward pass of attention: the scores once more, then dv, dp, dq and dk. */
const counts: Readonly<Record<string, Count>> = {
  linear: product,
  linear_input_grad: product,
  linear_weight_grad: product,
  attention: attention(2),
  attention_grad: attention(5),
  window_attention: windows(2),
  window_attention_grad: windows(5),
  depthwise_conv: convolution,
  depthwise_conv_input_grad: convolution,
  depthwise_conv_weight_grad: convolution,
};

/** Those of one sample in one call of a kernel; 0 for what is not counted. */
export const flopOfKernel = (kernel: string, attributes: Readonly<Record<string, number>>): number => counts[kernel]?.(attributes) ?? 0;

/** Floating-point operations of one sample, a multiply-add being two. Branches count by the share of samples that `blockRates` keeps. */
export function flopPerSample(graph: Graph, { backward, blockRates }: { backward: boolean; blockRates: ArrayLike<number> }): number {
  const share = ({ domain }: Node) => {
    const path = domain === 0 ? undefined : graph.paths[domain - 1];
    return 1 - (path === undefined ? 0 : (blockRates[path.block] ?? 0));
  };
  const nodes = backward ? [...graph.forward, ...graph.backward] : graph.forward;
  return nodes.reduce((sum, node) => sum + flopOfKernel(node.operation.name, node.attributes) * share(node), 0);
}
