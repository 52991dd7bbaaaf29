/** The emperor's own log: pino, pretty on a terminal, JSON lines otherwise; never tenants' output. */
import { pino } from 'pino';

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/** Makes the log on stderr; `pretty` where a person watches. */
export function createLog(options: { level: LogLevel; pretty: boolean }): Log {
  if (!options.pretty) return pino({ level: options.level }, pino.destination(2));
  return pino(
    { level: options.level },
    pino.transport({
      target: 'pino-pretty',
      options: { destination: 2, ignore: 'pid,hostname', translateTime: 'HH:MM:ss' },
    }),
  );
}

/** A log that says nothing, for tests. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
