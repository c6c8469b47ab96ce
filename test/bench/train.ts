/** npm run bench:train: speed of a training step (or of evaluation), where it goes, and PyTorch's on the same machine in turns with it. */
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
import { Peer, peerSummary } from './peer.js';
import type { PeerBlock } from './peer-run.js';
import { median, quantile, rounded, uneven } from './statistics.js';
import { type TrainingCase, trainingCase, UsageError, usage } from './training-case.js';

const CLASSES = 1000;
/** Steps after the blocks whose kernel calls are recorded. */
const PROFILED_STEPS = 5;

/** Seconds of a turn. Machines that others use get faster and slower within seconds, and this hurts both sides of short turns alike. */
const TURN_SECONDS = 4;
/** Steps that are measured without a peer at least. */
const FEWEST_STEPS = 8;

interface Measured {
  steps: StepTimes[];
  peer?: PeerBlock;
  /** How much faster the engine was in each pair of turns. */
  ratios: number[];
}

/** Steps for `seconds`; with a peer, in turns with it. */
async function measure(options: TrainingCase, engine: EngineBlocks, peer: Peer | undefined): Promise<Measured> {
  const { seconds, batch, updateFreq } = options;
  if (peer === undefined) {
    await engine.warmUp();
    return { steps: await engine.block(seconds, FEWEST_STEPS), ratios: [] };
  }
  const [steps, ratios]: [StepTimes[], number[]] = [[], []];
  // The last turn is half a turn, so that none begins after it.
  const run = peer.run(Math.max(seconds - TURN_SECONDS / 2, TURN_SECONDS / 2), TURN_SECONDS);
  try {
    await run.turn();
    await engine.warmUp();
    for (;;) {
      const ours = await engine.block(TURN_SECONDS);
      run.go();
      const theirs = await run.turn();
      if (theirs === undefined) break;
      steps.push(...ours);
      const speed = (batch * updateFreq * ours.length) / ours.reduce((sum, { step }) => sum + step, 0);
      const peerSpeed = (batch * updateFreq * theirs.steps) / theirs.seconds;
      ratios.push(speed / peerSpeed);
      console.log(`engine ${rounded(speed)}, peer ${rounded(peerSpeed)} images/s: ${rounded(speed / peerSpeed)}`);
    }
    return { steps, peer: await run.result, ratios };
  } finally {
    run.kill();
  }
}

/** Whether something else ran that was not the same to both sides. */
function wasDisturbed({ steps, ratios }: Measured): boolean {
  if (ratios.length > 0) return uneven(quantile(ratios, 0.75), quantile(ratios, 0.25));
  const times = steps.map(({ step }) => step);
  return uneven(quantile(times, 0.9), median(times));
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
    const measured = await measure(options, engine, peer);
    const { steps, ratios } = measured;
    const of = (part: keyof StepTimes, q = 0.5) =>
      rounded(
        1000 *
          quantile(
            steps.map((step) => step[part]),
            q,
          ),
      );
    const seconds = median(steps.map(({ step }) => step));
    const samples = batch * updateFreq;
    const graph = trace(modelConfig(model, { imageSize, classes: CLASSES }), { channels: 3, imageSize, classes: CLASSES });
    const rates = blockRates(forward ? 0 : dropPath, engine.program.blocks);
    const gflops = (samples * flopPerSample(graph, { backward: !forward, blockRates: rates })) / seconds / 1e9;
    const summary = measured.peer && peerSummary(measured.peer);
    const speed = samples / seconds;
    const disturbed = wasDisturbed(measured);
    const grown = engine.grownBytes; // before the profile below takes memory of its own
    const calls = await engine.kernelCalls(PROFILED_STEPS);
    const kernels = groupMilliseconds(calls, PROFILED_STEPS);
    if (device) {
      console.log(peakLines(device));
      console.log(deviceTable(deviceTimes(calls, device, engine.optimizerBytes), PROFILED_STEPS));
      console.log('of best: how long arithmetic or memory alone would take at the rates above, of how long the kernel took');
    }
    if (disturbed) console.log('Something else ran meanwhile: some steps or turns were much slower than others. These figures say little.');
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
      ratio: ratios.length === 0 ? null : rounded(median(ratios)),
      ratios: ratios.map((ratio) => rounded(ratio)),
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
