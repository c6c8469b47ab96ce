/**
 * The scaler of the scheduler, which has no work of its own: it asks the trainer and the evaluator, so that a cluster needs one address for all parts.
 * What is wanted is only known there, because services share nothing but the protos.
 */
import type { Registry } from 'prom-client';
import type { ConnectOptions } from '#rpc/client.js';
import { askScaler, connectScaler } from '#scaling/ask-scaler.js';
import { Scaler } from '#scaling/scaler.js';
import { createScalerMetrics } from '#scaling/scaler-metrics.js';
import type { SchedulerConfig } from './config.js';

/** The caller closes it. */
export function forwardingScaler(
  { trainer, evaluator }: Pick<SchedulerConfig, 'trainer' | 'evaluator'>,
  caller: ConnectOptions,
  registry: Registry,
  onError: (error: unknown) => void,
): { readonly scaler: Scaler; close(): void } {
  const [ofTrainer, ofEvaluator] = [trainer, evaluator].map((address) => (address === '' ? undefined : connectScaler(address, caller)));
  const scaler = new Scaler({
    sources: {
      ...(ofTrainer && { 'trainer-worker': askScaler(ofTrainer), data: askScaler(ofTrainer) }),
      ...(ofEvaluator && { 'evaluator-worker': askScaler(ofEvaluator) }),
    },
    otherwise: 'a scheduler answers for trainer-worker and data if it has --trainer, and for evaluator-worker if it has --evaluator',
    metrics: createScalerMetrics(registry),
    pollMs,
    onError,
  });
  return {
    scaler,
    close: () => {
      scaler.close();
      ofTrainer?.close();
      ofEvaluator?.close();
    },
  };
}

/** Milliseconds between questions for open streams. */
const pollMs = 1000;
