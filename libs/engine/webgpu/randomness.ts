/** What dropout and stochastic depth need on the device for one chunk: the kept samples of every path, and the words of every call. */
import { keepThreshold, seedKey } from '#random/philox.js';
import type { StepRandomness } from '../executable.js';
import { keepsPath } from '../masks.js';
import type { Instruction, ProgramSpec } from '../native/program-spec.js';
import { writeCallWords } from './call-words.js';
import type { PlannedCall } from './calls.js';
import { DROPPED } from './kernels/shared.js';

/** Uniform bindings begin at multiples of this number of bytes. */
const SLOT_BYTES = 256;

export interface Chunk {
  samples: number;
  /** Position of the chunk's first sample within the step, and within the leaf. */
  firstSample: number;
  firstRow: number;
  lossScale: number;
  /** Absent in evaluation, where everything is kept. */
  random?: StepRandomness | undefined;
}

/** Dispatches of calls with the same domain, site and path, and with the same sizes, share the words of one slot. */
interface Slot {
  domain: number;
  site: number | undefined;
  path: number | undefined;
  sizes: readonly number[];
}

/** The uniform buffer's slots: which calls share one, and what is in it for a chunk. */
export class CallSlots {
  readonly #slots: Slot[] = [];
  readonly #indices = new Map<string, number>();
  readonly #maskAt: number[] = [];
  /** Words of the explicit masks of all sites. */
  readonly maskWords: number;

  constructor(
    private readonly spec: ProgramSpec,
    calls: readonly PlannedCall[],
  ) {
    for (const { instruction, dispatches } of calls) for (const { sizes } of dispatches) this.#add(instruction, sizes);
    let words = 0;
    for (const { elementsPerSample } of spec.sites) {
      this.#maskAt.push(words);
      words += Math.ceil((elementsPerSample * spec.chunkSamples) / 32);
    }
    this.maskWords = words;
  }

  get bytes(): number {
    return this.#slots.length * SLOT_BYTES;
  }

  /** Offset in bytes of the slot of a call's dispatch. */
  offsetOf(instruction: Instruction, sizes: readonly number[] = []): number {
    const index = this.#indices.get(keyOf(instruction, sizes));
    if (index === undefined) throw new Error(`${instruction.kernel} has no slot`);
    return index * SLOT_BYTES;
  }

  /** The words of all slots. */
  words(chunk: Chunk, kept: KeptSamples): ArrayBuffer {
    const { random, samples, firstSample, lossScale } = chunk;
    const words = new ArrayBuffer(this.bytes);
    const { k0, k1 } = seedKey(random?.seed ?? 0n);
    for (const [index, { domain, site, path, sizes }] of this.#slots.entries()) {
      const pathRate = path === undefined ? 0 : (random?.pathRates[path] ?? 0);
      writeCallWords(words, index * SLOT_BYTES, {
        n: kept.count(domain),
        samples,
        firstSample,
        positionsAt: kept.positionsAt(domain),
        slotsAt: kept.slotsAt(path ?? 0),
        pathScale: 1 / (1 - pathRate),
        lossScale,
        seedLow: k0,
        seedHigh: k1,
        step: random?.step ?? 0,
        sizes,
        ...this.#dropout(site, random),
      });
    }
    return words;
  }

  /** The bits of the explicit masks for a chunk; undefined if no site has one. */
  explicitMasks({ random, samples, firstRow }: Chunk): Uint32Array | undefined {
    if (random?.siteMasks?.some((mask) => mask !== undefined) !== true) return undefined;
    const words = new Uint32Array(this.maskWords);
    for (const [site, mask] of random.siteMasks.entries()) {
      if (mask === undefined) continue;
      const { elementsPerSample } = this.spec.sites[site]!;
      const at = this.#maskAt[site]!;
      for (let i = 0; i < samples * elementsPerSample; i++) {
        if (mask[firstRow * elementsPerSample + i] !== 0) words[at + (i >> 5)]! |= 1 << (i & 31);
      }
    }
    return words;
  }

  #add(instruction: Instruction, sizes: readonly number[] = []): void {
    const key = keyOf(instruction, sizes);
    if (this.#indices.has(key)) return;
    this.#indices.set(key, this.#slots.length);
    this.#slots.push({ domain: instruction.domain, site: instruction.site, path: instruction.attributes.path, sizes });
  }

  #dropout(site: number | undefined, random: StepRandomness | undefined) {
    const rate = site === undefined ? 0 : (random?.siteRates[site] ?? 0);
    const explicit = site !== undefined && random?.siteMasks?.[site] !== undefined;
    const threshold = keepThreshold(rate);
    return {
      site: site ?? 0,
      // A rate so small that every word is below the threshold drops nothing.
      dropping: explicit ? (2 as const) : threshold < 2 ** 32 ? (1 as const) : (0 as const),
      threshold,
      dropScale: 1 / (1 - rate),
      maskAt: site === undefined ? 0 : this.#maskAt[site]!,
      siteElements: site === undefined ? 0 : this.spec.sites[site]!.elementsPerSample,
    };
  }
}

const keyOf = ({ domain, site, attributes }: Instruction, sizes: readonly number[]) =>
  `${domain} ${site} ${attributes.path} ${sizes.join(' ')}`;

/** The samples of a chunk that every path keeps, in the form of the buffer `samples`: positions of every domain, then slots of every path. */
export class KeptSamples {
  readonly list: Uint32Array;
  readonly #counts: number[];

  constructor(
    paths: number,
    private readonly chunkSamples: number,
    { samples, firstSample, firstRow, random }: Chunk,
  ) {
    this.list = new Uint32Array(chunkSamples * (1 + 2 * paths));
    this.#counts = [samples];
    for (let i = 0; i < chunkSamples; i++) this.list[i] = i;
    const drawn = random && { ...random, pathMasks: [] };
    for (let path = 0; path < paths; path++) {
      const positions = this.positionsAt(path + 1);
      const slots = positions + paths * chunkSamples;
      const explicit = random?.pathMasks?.[path];
      let count = 0;
      for (let s = 0; s < samples; s++) {
        const keeps = explicit ? explicit[firstRow + s] !== 0 : drawn === undefined || keepsPath(drawn, path, firstSample + s);
        this.list[slots + s] = keeps ? count : DROPPED;
        if (keeps) this.list[positions + count++] = s;
      }
      this.#counts.push(count);
    }
  }

  /** Samples of a domain. */
  count(domain: number): number {
    return this.#counts[domain]!;
  }

  positionsAt(domain: number): number {
    return domain * this.chunkSamples;
  }

  slotsAt(path: number): number {
    return this.positionsAt(path + 1) + (this.#counts.length - 1) * this.chunkSamples;
  }
}
