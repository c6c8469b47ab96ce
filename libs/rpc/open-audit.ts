/** The audit of a service: its options, its metrics, and a log line when it cannot be written. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { Audit } from '#auth/audit.js';
import { AuditSink } from '#auth/audit-sink.js';
import { invalid } from '#errors/errors.js';
import type { Logger } from '#telemetry/logger.js';
import type { ServiceConfig } from './service-options.js';

export interface OpenAudit {
  readonly audit: Audit;
  close(): Promise<void>;
}

/** @param sink undefined: there is no audit, and the series stay zero */
export function createAuditMetrics(registry: Registry, sink?: () => AuditSink | undefined): void {
  const registers = [registry];
  new Counter({
    name: 'dropstream_audit_lines_total',
    help: 'Lines of the audit that were written.',
    registers,
    collect() {
      this.reset();
      this.inc(sink?.()?.written ?? 0);
    },
  });
  new Counter({
    name: 'dropstream_audit_dropped_total',
    help: 'Lines of the audit that were lost because they could not be written for too long. The audit itself says so too.',
    registers,
    collect() {
      this.reset();
      this.inc(sink?.()?.dropped ?? 0);
    },
  });
  new Gauge({
    name: 'dropstream_audit_failing',
    help: '1 while the audit cannot be written, otherwise 0.',
    registers,
    collect() {
      this.set(sink?.()?.failing ? 1 : 0);
    },
  });
}

/** The caller closes it. @returns undefined without --audit-log @throws InvalidArgument for a file that cannot be written */
export async function openAudit(
  { auditLog, auditLogBytes, auditLogFiles }: Pick<ServiceConfig, 'auditLog' | 'auditLogBytes' | 'auditLogFiles'>,
  logger: Logger,
  registry: Registry,
): Promise<OpenAudit | undefined> {
  let sink: AuditSink | undefined;
  createAuditMetrics(registry, () => sink);
  if (auditLog === '') return undefined;
  const onFault = (error: Error | undefined): void => {
    if (error) logger.error({ path: auditLog, error }, 'the audit cannot be written');
    else logger.info({ path: auditLog, dropped: opened.dropped }, 'the audit is written again');
  };
  const opened = await AuditSink.open({ target: auditLog, maxBytes: auditLogBytes, files: auditLogFiles, onFault }).catch((cause) => {
    throw invalid('--audit-log', auditLog, `a file that can be written, or - (${(cause as Error).message})`);
  });
  sink = opened;
  const audit = new Audit(opened.write);
  return {
    audit,
    close: async () => {
      audit.close();
      await opened.close();
    },
  };
}
