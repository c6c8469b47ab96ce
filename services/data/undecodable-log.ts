/** Counts images that cannot be decoded, and logs each of them once. */
import type { ReplacedSample } from '#protocol/dropstream/v1/data.js';
import type { Logger } from '#telemetry/logger.js';
import type { DataMetrics } from './metrics.js';

const REMEMBERED = 10_000;

export class UndecodableLog {
  readonly #named = new Set<string>();

  constructor(private readonly metrics: DataMetrics) {}

  note(manifest: string, { sample, path, reason, replacement }: ReplacedSample, logger: Logger): void {
    this.metrics.undecodable.inc();
    const key = `${manifest}/${sample}`;
    if (this.#named.has(key) || this.#named.size >= REMEMBERED) return;
    this.#named.add(key);
    logger.warn(
      { manifest, sample: Number(sample), path, reason, replacement: Number(replacement) },
      'an image cannot be decoded and was replaced by another one',
    );
  }
}
