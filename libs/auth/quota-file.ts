/**
 * The file of quotas: defaults for every project, and what differs for single ones. What is absent is not limited; null lifts a default.
 *
 *     { "version": 1, "default": { "runs": 500, "queued": 50, "streams": 100 }, "projects": { "vision": { "runs": null, "weight": 3 } } }
 */
import { z } from 'zod';
import { contentOrReason } from '#bounds/small-file.js';
import { InvalidArgument, invalid, Violations } from '#errors/errors.js';
import { idPattern } from '#errors/resource-names.js';
import type { QuotaRules } from './quota.js';

const amount = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).nullable().optional();
const quotas = z.strictObject({
  runs: amount,
  queued: amount,
  workers: amount,
  checkpoint_bytes: amount,
  streams: amount,
  weight: z.number().int().min(1).max(1000).nullable().optional(),
});
const schema = z.strictObject({
  version: z.literal(1),
  default: quotas.default({}),
  projects: z.record(z.string().regex(idPattern, 'the id of a project'), quotas).default({}),
});

const MAX_BYTES = 4 << 20;
const option = '--quotas';

export const readQuotas = (path: string): Buffer | Error => contentOrReason(path, MAX_BYTES);

/** @throws InvalidArgument with every violation */
export function parseQuotas(read: Buffer | Error, path: string): QuotaRules {
  if (read instanceof Error) throw invalid(option, path, `a readable file of at most 4 MiB (${read.message})`);
  let content: unknown;
  try {
    content = JSON.parse(read.toString('utf8'));
  } catch {
    throw invalid(option, path, 'a file with valid JSON');
  }
  const parsed = schema.safeParse(content);
  if (!parsed.success) {
    const violations = new Violations();
    for (const { path: at, message } of parsed.error.issues.slice(0, 20))
      violations.add(option, path, `valid at ${at.join('.') || 'its beginning'}: ${message}`);
    throw new InvalidArgument(violations.list);
  }
  return { default: parsed.data.default, projects: new Map(Object.entries(parsed.data.projects)) };
}
