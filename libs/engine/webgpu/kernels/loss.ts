/** Softmax cross entropy with soft targets. */
import { flat } from './flat.js';
import { flatGroups, type KernelGenerator, shader } from './kernel.js';
import { TEAM, TEAM_MAX, TEAM_SUM } from './team-sums.js';

/**
 * logits[n, C], targets[n, C] → y[n] = −Σ t · log softmax, dlogits = (softmax · Σ t − t) · loss scale. A workgroup sums a sample's row; dlogits is a
 * pass of its own, by single elements.
 */
export const softmaxCrossEntropy: KernelGenerator = (call) => {
  const { classes = 1 } = call.attributes;
  const each = (body: string) => `for (var c = lane; c < ${classes}u; c += ${TEAM}u) { ${body} }`;
  const losses = shader(call, {
    label: call.kernel,
    operands: { logits: 'in.logits', given: 'in.targets', y: 'out.y', top: 'scratch.top', lse: 'scratch.lse', mass: 'scratch.mass' },
    workgroupSize: TEAM,
    workgroups: (n) => flatGroups(n, 1),
    declarations: TEAM_MAX + TEAM_SUM,
    body: `
  let s = group.y * groups.x + group.x;
  if (s >= call.n) { return; }
  let base = s * ${classes}u;
  var top = -3.4e38;
  ${each('top = max(top, load_logits(base + c));')}
  top = team_max(lane, vec2f(top)).x;
  var sums = vec2f(0.0);
  ${each('sums += vec2f(exp(load_logits(base + c) - top), load_given(base + c));')}
  sums = team_sum(lane, sums);
  let lse = log(sums.x);
  var loss = 0.0;
  ${each('loss += load_given(base + c) * (lse - (load_logits(base + c) - top));')}
  loss = team_sum(lane, vec2f(loss)).x;
  if (lane == 0u) {
    store_y(s, loss);
    // Not their sum, in which large logits would leave few digits of the logarithm.
    store_top(s, top);
    store_lse(s, lse);
    store_mass(s, sums.y);
  }`,
  });
  const scratch = { top: call.chunkSamples, lse: call.chunkSamples, mass: call.chunkSamples };
  if (call.outputs.dlogits === undefined) return { dispatches: [losses], scratch };
  const gradient = flat(call, {
    label: `${call.kernel} (gradient)`,
    operands: { logits: 'in.logits', given: 'in.targets', top: 'scratch.top', lse: 'scratch.lse', mass: 'scratch.mass', y: 'out.dlogits' },
    perSample: classes,
    body: ({ load }) => `  let s = i / ${classes}u;
  return (exp((${load('logits')} - load_top(s)) - load_lse(s)) * load_mass(s) - ${load('given')}) * call.loss_scale;`,
  });
  return { dispatches: [losses, gradient], scratch };
};
