/** The emperor's own log: to a file as JSON lines and to stderr, pretty on a terminal; never tenants' output. */
import { createRequire } from 'node:module';
import { pino } from 'pino';
import type { Log, LogLevel } from './log.ts';

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
    // Where somebody watches: large, and CommonJS, whose own types describe it.
    const pretty = createRequire(import.meta.url)('pino-pretty') as typeof import('pino-pretty');
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
