/** The command line with which `up` starts each service, with the addresses of the services that it calls. */
import type { ServedName, ServiceName } from '../addresses.js';

export interface Surroundings {
  readonly store: string;
  readonly dataRoots: readonly string[];
  readonly logLevel: string;
  readonly drainMs: number;
  /** gRPC addresses of the services that have started. */
  readonly addresses: Readonly<Partial<Record<ServiceName, readonly string[]>>>;
  /** Additional arguments for single services. */
  readonly extra?: Readonly<Partial<Record<ServedName, readonly string[]>>> | undefined;
}

/** Each service starts after those whose addresses it needs. */
export const startOrder: readonly ServiceName[] = ['scheduler', 'data', 'evaluator', 'trainer'];
/** Services whose processes claim work. */
export const claimingServices: readonly ServedName[] = ['evaluator', 'trainer'];
/** Workers stop first, because the other services must answer while they save checkpoints, and people watch that. */
export const stopOrder: readonly (readonly ServedName[])[] = [['trainer'], ['evaluator'], ['data', 'scheduler', 'gateway']];

/** Arguments after `dropstream serve SERVICE`, without ports. */
export function serviceArguments(service: ServedName, s: Surroundings): string[] {
  // On one machine nobody has to learn that a service leaves: the workers that call it have ended before, and a person waits for `up` to end.
  const common = ['--log-level', s.logLevel, '--drain-delay-ms', '0', '--drain-ms', String(s.drainMs)];
  const store = service === 'gateway' ? [] : ['--store', s.store];
  const own: Record<ServedName, () => string[]> = {
    scheduler: () => [],
    data: () => s.dataRoots.flatMap((root) => ['--root', root]),
    evaluator: () => [...(s.addresses.data ?? []).flatMap((address) => ['--data', address])],
    trainer: () => [
      ...(s.addresses.data ?? []).flatMap((address) => ['--data', address]),
      ...(s.addresses.scheduler ?? []).flatMap((address) => ['--scheduler', address]),
      ...(s.addresses.evaluator ?? []).flatMap((address) => ['--evaluator', address]),
    ],
    gateway: () => startOrder.flatMap((name) => (s.addresses[name] === undefined ? [] : [`--${name}`, s.addresses[name].join(',')])),
  };
  return [...store, ...common, ...own[service](), ...(s.extra?.[service] ?? [])];
}
