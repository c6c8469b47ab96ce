/**
 * The seam between the graph (TypeScript) and the native engine (C++): a program is a list of kernel calls over planned buffers.
 *
 * TypeScript decides what runs, in which order and where every value lives; C++ executes and decides nothing but tiles and threads.
 * A step runs forward and backward over the batch in chunks of `chunkSamples`, in order, adding every chunk's parameter
 * gradients into one fp32 gradient buffer; then norm, clip, optimizer and EMA. All of it is one asynchronous call.
 *
 * Values are [count(domain), ...perSample], fp32 or bf16. Domain 0 is all samples of the chunk; domain k ≥ 1 is the kept samples of drop path
 * k − 1 (a compact tensor in ascending sample order). Space is planned for all kept.
 *
 * Which operands may be bf16 is said once, by libs/engine/native/kernel-table.ts; the addon refuses others. Of a product (linear and its
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
  /** Present where dropout is applied inside or by this kernel: index into StepRequest.dropoutSites' order (the graph's site order). */
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

/** One micro-batch. Images are finished fp32 NCHW. */
export interface MicroBatch {
  images: Float32Array;
  /** Soft targets [n, classes]. */
  targets: Float32Array;
  samples: number;
  /** Position of the micro-batch's first sample within the optimizer step: the `sample` counter word of dropout. */
  firstSample: number;
}

/**
 * Randomness of one step. A drop-path mask bit and a dropout element are kept where x < ⌈(1 − p)·2³²⌉ with x a word of Philox 4x32-10:
 * key = (seed low 32 bits, seed high 32 bits); counter = (element >> 2, sample, site, step), word = element & 3.
 * Dropout: site = its index; element in the site's row-major per-sample order. Drop path: site = 0x80000000 | path, element 0.
 */
export interface StepRandomness {
  seed: bigint;
  step: number;
  /** Drop rate per dropout site (0 = off), in site order. */
  siteRates: Float64Array;
  /** Drop rate per path, in path order. */
  pathRates: Float64Array;
  /**
   * Explicit masks for tests, 0 = dropped: per site one byte per element [samples, elementsPerSample]; per path one byte per sample; samples
   * counted over all micro-batches of the step. Kept values are scaled by the rates, as drawn ones are.
   */
  siteMasks?: (Uint8Array | undefined)[];
  pathMasks?: (Uint8Array | undefined)[];
}

export interface OptimizerScalars {
  kind: 'adamw' | 'sgd' | 'momentum';
  beta1: number;
  beta2: number;
  eps: number;
  momentum: number;
  /** 1-based count of optimizer steps, for bias correction. */
  step: number;
  /** Clip by global L2 norm where > 0: factor min(1, clip/(norm + 1e-6)). */
  clip: number;
  /** Per parameter: learning rate (schedule × layer scale) and decoupled weight decay. */
  learningRate: Float64Array;
  weightDecay: Float64Array;
  /** EMA decay, or −1 for none. */
  emaDecay: number;
}

export interface StepOutput {
  /** Loss of every sample, in batch order (over all micro-batches). */
  losses: Float32Array;
  /** Global L2 norm of the gradient before clipping. */
  gradNorm: number;
  /** Logits [samples, classes], for training accuracy. */
  logits: Float32Array;
  /** Seconds by phase: forward, backward, optimizer. */
  seconds: { forward: number; backward: number; optimizer: number };
}

export type StateName = 'weights' | 'gradients' | 'first_moment' | 'second_moment' | 'ema';

/** One kernel call of a recorded step or evaluation. */
export interface KernelCall {
  /** `pack`: a weight packed for products, inside the call that first needed it. */
  part: 'forward' | 'backward' | 'update' | 'pack';
  kernel: KernelName | 'pack_weight' | 'zero_gradients' | 'gradient_norm' | 'optimizer';
  /** Of the instruction; sizes per sample. */
  attributes: Readonly<Record<string, number>>;
  /** Of its domain in the chunk; 0 in `update` and `pack`. */
  samples: number;
  /** What its operands hold (gradients count twice: read and written); 0 for the optimizer. */
  bytes: number;
  /** Seconds of the monotonic clock, the one of process.hrtime. */
  begin: number;
  end: number;
}

/** A part of a call on one thread of the compute pool, where several shared it. */
export interface ThreadJob {
  thread: number;
  begin: number;
  end: number;
}

/** Records kernel calls into memory taken at start; costs nothing while stopped. Every method is refused while a call runs. */
export interface Profiler {
  /** Room for so many kernel calls, and as many jobs of every thread; later ones are lost. At most 2^24. */
  start(calls: number): void;
  stop(): void;
  /** What was recorded since the last take, calls in order of their ends, and how many calls found no room. */
  take(): { calls: KernelCall[]; jobs: ThreadJob[]; lost: number };
}

/**
 * A compiled program with its parameters, all states zero at first. Calls are queued (at most 64): one runs at a time. Their arrays are read
 * in place: do not change or transfer them before the promise settles. dispose() frees everything once the running call ended and rejects
 * those behind it; a program that is collected frees itself. Gradients stay readable until the next step: summed, before clipping.
 */
export interface NativeProgram {
  /** forward + backward over all micro-batches (gradient of Σ loss · lossScale), then the optimizer. Without `optimizer`: gradients only. */
  step(micro: MicroBatch[], random: StepRandomness, lossScale: number, optimizer?: OptimizerScalars): Promise<StepOutput>;
  /** Forward without dropout or drop path. `state`: which parameters. Returns logits and per-sample losses. */
  evaluate(batch: MicroBatch, state: 'weights' | 'ema'): Promise<{ logits: Float32Array; losses: Float32Array }>;
  /** Copies out / in all elements of one parameter. Refused while a call runs. */
  read(state: StateName, parameter: number): Float32Array;
  write(state: StateName, parameter: number, data: Float32Array): void;
  dispose(): void;
  readonly memoryBytes: number;
  /** Where the time of calls goes. Absent where an executor cannot tell. */
  readonly profiler?: Profiler;
}

export interface NativeEngineInfo {
  /** Instruction-set path in use: 'amx' (as avx512_bf16, products of bf16 in tiles) | 'avx512_bf16' | 'avx512' | 'avx2' | 'portable' (DROPSTREAM_ISA forces one). */
  isa: string;
  available: string[];
  /** Threads in use: DROPSTREAM_THREADS, else the cgroup's cores. */
  threads: number;
  /** Build identity that enters the numerics fingerprint. */
  build: string;
}
