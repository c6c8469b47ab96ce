/** npm run bench:train: speed of a training step (or of evaluation), where it goes, and PyTorch's on the same machine in the same minutes. */
import { trace } from '#graph/trace.js';
import { engineInfo } from '#native/addon.js';
import { modelConfig } from '#nn/models/registry.js';
import { blockRates } from '#schedule/index.js';
import { EngineBlocks, type StepTimes } from './engine-blocks.js';
import { type DevicePeaks, devicePeaks } from './gpu-peaks.js';
import { deviceTable, deviceTimes, peakLines } from './gpu-table.js';
import { groupMilliseconds } from './kernel-times.js';
import { peakGflops, processor } from './machine-peak.js';
import { flopPerSample } from './multiply-adds.js';
import { Peer, type PeerBlock, peerSummary } from './peer.js';
import { median, quantile, rounded, uneven } from './statistics.js';
import { type TrainingCase, trainingCase, UsageError, usage } from './training-case.js';

const CLASSES = 1000;
/** Steps after the blocks whose kernel calls are recorded. */
const PROFILED_STEPS = 5;

/** Blocks of both sides, A B B A, so that a machine that gets slower or faster meanwhile hurts both alike. Without a peer: one block. */
async function measure(options: TrainingCase, engine: EngineBlocks, peer: Peer | undefined) {
  const { seconds, batch, updateFreq } = options;
  const [ours, theirs]: [StepTimes[][], PeerBlock[]] = [[], []];
  for (const side of peer ? 'ABBA' : 'A') {
    if (side === 'A') {
      ours.push(await engine.block(seconds));
      const speed = (batch * updateFreq) / median(ours.at(-1)!.map(({ step }) => step));
      console.log(`engine: ${rounded(speed)} images/s (${ours.at(-1)!.length} steps)`);
    } else {
      theirs.push(await peer!.block(seconds));
      console.log(`peer: ${theirs.at(-1)!.value} images/s (${theirs.at(-1)!.steps} steps)`);
    }
  }
  return { ours, theirs };
}

/** Whether something else ran: the blocks of one side differ by a quarter, or so does the slowest tenth of a block from its median. */
function wasDisturbed(ours: readonly StepTimes[][], theirs: readonly PeerBlock[]): boolean {
  const blocks = ours.map((block) => block.map(({ step }) => step));
  const middles = blocks.map(median);
  return (
    middles.some((middle, i) => uneven(quantile(blocks[i]!, 0.9), middle)) ||
    theirs.some(({ value, p10 }) => uneven(value, p10)) ||
    [middles, theirs.map(({ value }) => value)].some((side) => side.length > 0 && uneven(Math.max(...side), Math.min(...side)))
  );
}

/** Why there is no peer for this model, if so. */
function withoutPeer(model: string): string | undefined {
  const known = Peer.models();
  return known === undefined || known.includes(model) ? undefined : `shared/peers/train_step.py has no ${model}, only ${known.join(', ')}`;
}

function productPeak({ peaks }: DevicePeaks, precision: string): number | undefined {
  for (const peak of peaks) if (peak.peak === 'multiply-add' && peak.type === precision) return peak.gflops;
  return undefined;
}

async function bench(options: TrainingCase): Promise<object> {
  const { model, precision, batch, updateFreq, imageSize, forward, dropPath } = options;
  const info = engineInfo();
  const { threads, isa } = info;
  const engine = await EngineBlocks.create(options);
  try {
    const missing = options.peer ? withoutPeer(model) : undefined;
    if (missing) console.log(`Only the engine is measured: ${missing}.`);
    const peer = options.peer && !missing ? await Peer.prepare(options, threads) : undefined;
    const device = options.engine === 'webgpu' ? await devicePeaks() : undefined;
    const peak = device ? productPeak(device, precision) : await peakGflops(precision, info);
    const { ours, theirs } = await measure(options, engine, peer);
    const steps = ours.flat();
    const of = (part: keyof StepTimes, q = 0.5) =>
      rounded(
        1000 *
          quantile(
            steps.map((step) => step[part]),
            q,
          ),
      );
    // The median of the blocks' medians, on both sides.
    const seconds = median(ours.map((block) => median(block.map(({ step }) => step))));
    const samples = batch * updateFreq;
    const graph = trace(modelConfig(model, { imageSize, classes: CLASSES }), { channels: 3, imageSize, classes: CLASSES });
    const rates = blockRates(forward ? 0 : dropPath, engine.program.blocks);
    const gflops = (samples * flopPerSample(graph, { backward: !forward, blockRates: rates })) / seconds / 1e9;
    const summary = peer && peerSummary(theirs);
    const speed = samples / seconds;
    const disturbed = wasDisturbed(ours, theirs);
    const grown = engine.grownBytes; // before the profile below takes memory of its own
    const calls = await engine.kernelCalls(PROFILED_STEPS);
    const kernels = groupMilliseconds(calls, PROFILED_STEPS);
    if (device) {
      console.log(peakLines(device));
      console.log(deviceTable(deviceTimes(calls, device, engine.optimizerBytes), PROFILED_STEPS));
      console.log('of best: how long arithmetic or memory alone would take at the rates above, of how long the kernel took');
    }
    if (disturbed)
      console.log('Something else ran meanwhile: single steps or whole blocks were much slower than others. These figures say little.');
    return {
      model,
      precision,
      batch,
      update_freq: updateFreq,
      drop_path: dropPath,
      dropout: options.dropout,
      ema: options.ema,
      clip: options.clip,
      forward,
      engine: options.engine,
      processor: device ? `${device.adapter}${device.software ? ' (a software device)' : ''}` : processor(),
      threads: device ? null : threads,
      isa: device ? null : isa,
      img_per_s: rounded(speed),
      step_ms: rounded(1000 * seconds),
      step_ms_p10: of('step', 0.1),
      step_ms_p90: of('step', 0.9),
      steps: steps.length,
      disturbed,
      chunk_samples: engine.program.chunkSamples,
      breakdown: {
        ...{ finish: of('finish'), forward: of('forward'), backward: of('backward'), optimizer: of('optimizer') },
        kernels: Object.fromEntries(Object.entries(kernels).map(([group, ms]) => [group, rounded(ms)])),
      },
      peak_bytes: grown,
      program_bytes: engine.program.peakBytes,
      gflops: rounded(gflops),
      peak_gflops: peak === undefined ? null : rounded(peak),
      fraction_of_peak: peak === undefined ? null : rounded(gflops / peak, 3),
      ratio: summary === undefined ? null : rounded(speed / summary.img_per_s),
      memory_ratio: grown !== null && summary?.peak_bytes ? rounded(grown / summary.peak_bytes, 3) : null,
      peer_config: peer && summary ? { ...peer.config, ...summary } : null,
      peer_missing: missing ?? null,
    };
  } finally {
    engine.dispose();
  }
}

try {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    console.log(usage);
  } else {
    const options = trainingCase(args);
    console.log('The step of the engine includes finishing the images from uint8; that of the peer gets them finished.');
    console.log(JSON.stringify(await bench(options)));
  }
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof RangeError)) throw error;
  console.error(`bench:train: ${error.message}\n\n${error instanceof UsageError ? usage : ''}`.trim());
  process.exitCode = 2;
}
