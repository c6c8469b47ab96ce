/** Counts images that cannot be decoded, and names each of them once in the log. */
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
      'image cannot be decoded, another one stands in',
    );
  }
}
