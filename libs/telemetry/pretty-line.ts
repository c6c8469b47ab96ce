/** Formats a log line for people: `12:00:01.123 WARN  trainer  message  key=value …`. Lines that are not our JSON are not changed. */
const hidden = new Set(['level', 'time', 'pid', 'service', 'msg', 'error']);
const names: Record<string, string> = { trace: 'TRACE', debug: 'DEBUG', info: 'INFO ', warn: 'WARN ', error: 'ERROR', fatal: 'FATAL' };

export function prettyLine(line: string): string {
  let record: Record<string, unknown>;
  try {
    record = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return line;
  }
  const time = String(record.time ?? '').slice(11, 23);
  const level = names[String(record.level)] ?? String(record.level);
  const rest = Object.entries(record)
    .filter(([key]) => !hidden.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const error = record.error as { message?: string; stack?: string } | undefined;
  const tail = error ? `\n${error.stack ?? error.message ?? JSON.stringify(error)}` : '';
  return `${[time, level, record.service, record.msg ?? '', ...rest].join(' ')}${tail}\n`;
}
