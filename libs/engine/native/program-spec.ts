/**
 * The seam between the graph (TypeScript) and the native engine (C++): a program is a list of kernel calls over planned buffers.
 *
 * TypeScript decides what runs, in which order and where every value lives; C++ executes and decides nothing but tiles and threads.
 * A leaf of a step runs forward and backward over its micro-batches in chunks of `chunkSamples`, in order, adding every chunk's parameter
 * gradients into one fp32 gradient buffer; leaves are added in a fixed tree (../gradient-tree.ts); then norm, clip, optimizer and EMA.
 *
 * Values are [count(domain), ...perSample], fp32 or bf16. Domain 0 is all samples of the chunk; domain k ≥ 1 is the kept samples of drop path
 * k − 1 (a compact tensor in ascending sample order). Space is planned for all kept.
 *
 * Which operands may be bf16 is said once, by kernel-table.ts; the addon refuses others. Of a product (linear and its
 * gradients, attention) all operands but dx of an input gradient and y of a linear layer have one type, and that is the type it multiplies
 * in; sums are fp32 and rounded once, where they are stored. Copies and dropout on the stream keep the type; whatever works row by row or
 * element by element computes in fp32 and takes and gives either. Always fp32: mean, rstd, lse, logits, losses, parameters and their
 * gradients, and the residual stream with its gradient (prepend_token, add_positions, add, x and out of add_kept, x of keep).
 */

/** Where an operand lives. `value`: index into ProgramSpec.values; `param` / `grad`: index into ProgramSpec.parameters; `input`: batch data. */
export type Operand = { value: number } | { param: number } | { grad: number } | { input: 'images' | 'targets' };

/** How a value is stored. bf16: the upper half of an fp32, rounded to nearest even. */
export type ElementType = 'fp32' | 'bf16';

/** One kernel call. `rows`: rows per sample of the kernel's main operand (so R = count(domain) · rows). Unused attributes are absent. */
export interface Instruction {
  kernel: KernelName;
  domain: number;
  inputs: Operand[];
  outputs: Operand[];
  attributes: Record<string, number>;
  /** Present where dropout is applied inside or by this kernel: index into the graph's sites. */
  site?: number;
}

/**
 * The kernels, with R = count(domain)·rows. Inputs → outputs; [brackets] optional (pass fewer operands); attributes in braces.
 *
 * patches               images[n,C,H,W] → y[R=n·N, C·p·p] {channels, height, width, patch}; column order (c, py, px), like a conv weight flattened
 * linear                x[R,K], w param[M,K], [b param[M]] → y[R,M], [slope[R,M]] {rows, in, out, gelu 0|1, bias 0|1}
 *                       gelu = 1: y = gelu(sum) (exact erf), slope = gelu'(sum) kept for the gradient
 * linear_input_grad     dy[R,M], w param[M,K], [slope[R,K]] → dx[R,K] {rows, in, out, gelu 0|1}; gelu = 1: dx·slope  (of the *input* side)
 * linear_weight_grad    x[R,K], dy[R,M] → grad w[M,K] (+=), [grad b[M] (+=)] {rows, in, out}
 * gelu, gelu_grad       x → y ; x, dy → dx {rows, width}
 * layer_norm            x[R,D], w, b → y, mean[R], rstd[R] {rows, width, eps}
 * layer_norm_grad       x, w, mean, rstd, dy → dx, grad w (+=), grad b (+=) {rows, width}
 * attention             qkv[n,N,3·h·d] → out[n,N,h·d], lse[n,h,N] {tokens, heads, head_dim, scale} site?   (qkv splits as (3, heads, head_dim))
 * attention_grad        qkv, out, lse, dout → dqkv {same} site?
 * prepend_token         x[n,N,D], token param[D] → y[n,N+1,D] {tokens N, width}
 * prepend_token_grad    dy[n,N+1,D] → dx[n,N,D], grad token (+=)
 * add_positions         x[n,N,D], pos param[N,D] → y {tokens, width};   add_positions_grad  dy → grad pos (+=)
 * dropout               x → y {rows, width} site: y = kept ? x/(1−p) : 0 (its own gradient too)
 * keep                  x[n,E] → y[kept,E] {width E, path, scaled 0|1}; domain = the branch's; y = x[kept[i]]·(scaled ? 1/(1−p) : 1)
 * add_kept              x[n,E], y[kept,E] → out[n,E] {width E, path, scaled 0|1}; domain 0; out = x, out[kept[i]] += y[i]·(scaled ? 1/(1−p) : 1); out may alias x
 * take_token            x[n,N,D] → y[n,D] {tokens, width, token};   take_token_grad  dy[n,D] → dx[n,N,D] (zero elsewhere)
 * mean_tokens           x[n,N,D] → y[n,D] {tokens, width};          mean_tokens_grad
 * transpose_tokens      x[n,N,D] → y[n,D,N] {tokens, width}; its gradient is itself with the two exchanged
 * layer_scale           x[R,D], gamma param[D] → y = x·gamma {rows, width};   layer_scale_grad  x, gamma, dy → dx, grad gamma (+=)
 * depthwise_conv        x[n,H·W,C], w param[C,1,k,k], b param[C] → y[n,H·W,C] {height, width, channels, kernel}; zero padding k÷2, stride 1; k odd, ≤ 31
 * depthwise_conv_input_grad   dy, w → dx;   depthwise_conv_weight_grad  x, dy → grad w (+=), grad b (+=)
 * merge_patches         x[n,H·W,C] → y[n,(H/2)(W/2),4C] {height, width, channels, order}: 2×2 neighbours side by side;
 *                       order 0: columns (c, dy, dx), like a 2×2 conv weight flattened; order 1: (dx, dy, c) with dy fastest of the two: Swin's
 *                       (0,0), (1,0), (0,1), (1,1) as (dy, dx), each of C columns.   merge_patches_grad  dy → dx {same}
 * window_attention      qkv[n,H·W,3·h·d], table param[(2w−1)²,h] → out[n,H·W,h·d], lse[n,windows,h,w²]
 *                       {height, width, window w, shift, heads, head_dim, scale} site?; tokens are rolled by −shift, cut into w×w windows in row
 *                       order, attended with bias table[(y_i−y_j+w−1)(2w−1) + (x_i−x_j+w−1)], with −100 between the 3×3 regions that the roll
 *                       joined (shift > 0), and put back; site elements per sample: [windows, h, w², w²].   A window as large as the map has shift 0
 *                       w divides height and width and is at most 32; shift < w
 * window_attention_grad qkv, table, out, lse, dout → dqkv, grad table (+=) {same} site?
 * add                   a, b → y {rows, width}
 * multiply              a, b → y {rows, width}
 * softmax_cross_entropy logits[n,C], targets input[n,C] → loss[n], [dlogits[n,C]] {classes}; loss = −Σ t·log softmax; dlogits = (softmax·Σt − t)·lossScale
 */
export type KernelName =
  | 'patches'
  | 'linear'
  | 'linear_input_grad'
  | 'linear_weight_grad'
  | 'gelu'
  | 'gelu_grad'
  | 'layer_norm'
  | 'layer_norm_grad'
  | 'attention'
  | 'attention_grad'
  | 'prepend_token'
  | 'prepend_token_grad'
  | 'add_positions'
  | 'add_positions_grad'
  | 'dropout'
  | 'keep'
  | 'add_kept'
  | 'take_token'
  | 'take_token_grad'
  | 'mean_tokens'
  | 'mean_tokens_grad'
  | 'transpose_tokens'
  | 'layer_scale'
  | 'layer_scale_grad'
  | 'depthwise_conv'
  | 'depthwise_conv_input_grad'
  | 'depthwise_conv_weight_grad'
  | 'merge_patches'
  | 'merge_patches_grad'
  | 'window_attention'
  | 'window_attention_grad'
  | 'add'
  | 'multiply'
  | 'softmax_cross_entropy';

export interface ProgramSpec {
  /** Samples per chunk; a trailing chunk may be smaller. */
  chunkSamples: number;
  /** Floats of the arena; values are placed inside it for a full chunk. */
  arenaFloats: number;
  /** Offset in floats (multiple of 16), elements per sample and their type (default fp32; two bf16 take one float) of every value. */
  values: { offset: number; elementsPerSample: number; type?: ElementType }[];
  /** Elements of every parameter, in order. */
  parameters: { size: number }[];
  /** Number of drop-path paths (domains − 1). */
  paths: number;
  /** Elements per sample of every dropout site in logical row-major order (attention: heads·N·N). */
  sites: { elementsPerSample: number }[];
  /** Floats per sample of images (C·H·W) and classes. */
  imageFloats: number;
  classes: number;
  forward: Instruction[];
  backward: Instruction[];
  /** Value holding the logits [n, classes] and the loss [n] after `forward`. */
  logits: number;
  loss: number;
}
