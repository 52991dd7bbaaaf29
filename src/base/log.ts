/**
 * The emperor's own log: to a file as JSON lines and to stderr, pretty on a terminal; never tenants' output.
 * pino is loaded when a log is made, since LOG_LEVELS is wanted by commands that make none.
 */
import { createRequire } from 'node:module';

export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export interface LogOptions {
  readonly level: LogLevel;
  /** For a person who watches stderr; colours as well where `colour` says so. */
  readonly pretty: boolean;
  readonly colour?: boolean;
  /** Also written to, in JSON lines. */
  readonly file?: string;
}

export interface FileLog extends Log {
  /** Opens the file again under its name: after a rotation. */
  reopen(): void;
}

/** Makes the log. Whoever reads stderr may leave: what cannot be written there is lost, and nothing else. */
export function createLog(options: LogOptions): FileLog {
  const require = createRequire(import.meta.url);
  // At the boundary: pino is CommonJS there and its own types describe it.
  const { pino } = require('pino') as typeof import('pino');
  const talk = options.pretty ? prettyStderr(options) : pino.destination({ dest: 2, sync: true });
  talk.on('error', () => {});
  const file = options.file === undefined ? null : openFile(options.file);
  const { level } = options;
  const streams = [talk, ...(file ? [file] : [])].map((stream) => ({ level, stream }));
  const log = pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.multistream(streams),
  );
  return Object.assign(log, { reopen: () => file?.reopen() });

  function prettyStderr({ colour = false }: LogOptions) {
    const pretty = require('pino-pretty') as typeof import('pino-pretty');
    return pretty({
      colorize: colour,
      destination: 2,
      singleLine: true,
      sync: true,
      translateTime: 'SYS:HH:MM:ss',
    });
  }

  /** A full disk must not end the emperor: what cannot be written is lost. */
  function openFile(path: string) {
    const destination = pino.destination({ dest: path, sync: true, mode: 0o640 });
    destination.on('error', () => {});
    return destination;
  }
}

/** A log that says nothing, for tests. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
