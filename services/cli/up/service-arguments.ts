/** The command line with which `up` starts each service, with the addresses of the services that it calls. */
import type { ServiceName } from '../addresses.js';

export interface Surroundings {
  readonly store: string;
  readonly dataRoots: readonly string[];
  readonly logLevel: string;
  readonly drainMs: number;
  /** gRPC addresses of the services that have started. */
  readonly addresses: Readonly<Partial<Record<ServiceName, readonly string[]>>>;
  /** Additional arguments for single services. */
  readonly extra?: Readonly<Partial<Record<ServiceName, readonly string[]>>> | undefined;
}

/** Each service starts after those whose addresses it needs. */
export const startOrder: readonly ServiceName[] = ['scheduler', 'data', 'evaluator', 'trainer'];
/** Services whose processes claim work. */
export const claimingServices: readonly ServiceName[] = ['evaluator', 'trainer'];
/** Workers stop first, because the other services must answer while they save checkpoints. */
export const stopOrder: readonly (readonly ServiceName[])[] = [['trainer'], ['evaluator'], ['data', 'scheduler']];

/** Arguments after `dropstream serve SERVICE`, without ports. */
export function serviceArguments(service: ServiceName, s: Surroundings): string[] {
  // On one machine nobody has to learn that a service leaves: the workers that call it have ended before, and a person waits for `up` to end.
  const common = ['--store', s.store, '--log-level', s.logLevel, '--drain-delay-ms', '0', '--drain-ms', String(s.drainMs)];
  const own: Record<ServiceName, () => string[]> = {
    scheduler: () => [],
    data: () => s.dataRoots.flatMap((root) => ['--root', root]),
    evaluator: () => [...(s.addresses.data ?? []).flatMap((address) => ['--data', address])],
    trainer: () => [
      ...(s.addresses.data ?? []).flatMap((address) => ['--data', address]),
      ...(s.addresses.scheduler ?? []).flatMap((address) => ['--scheduler', address]),
      ...(s.addresses.evaluator ?? []).flatMap((address) => ['--evaluator', address]),
    ],
  };
  return [...common, ...own[service](), ...(s.extra?.[service] ?? [])];
}
