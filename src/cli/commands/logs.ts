/** `emperor logs NAME`: straight from the files that the vassal's init writes, so it needs no emperor. */
import { watch } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Clock, systemClock } from '../../base/clock.ts';
import { EmperorError, isErrno } from '../../base/errors.ts';
import { isVassalName } from '../../config/names.ts';
import { type Call, type Globals, onlyWord, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { LogDirectory } from '../logs/files.ts';
import { formatLogLine, type LogFormat } from '../logs/format.ts';
import { LogReader } from '../logs/reader.ts';
import { paintFor, print } from '../output.ts';
import { ifReachable } from '../reach.ts';

/** What --follow begins with, as tail(1) does. */
const FOLLOWED_LINES = 10;
/** Where nothing tells of changes, such as a network file system. */
const LOOK_AGAIN_MS = 1000;

export async function run(call: Call): Promise<number> {
  const { options, globals } = call;
  const name = onlyWord(call);
  const isFollowing = options.flag('follow');
  const last = parseLines(options.text('lines')) ?? (isFollowing ? FOLLOWED_LINES : null);
  const directory = await openDirectory(name, { globals, isFollowing });
  if (!directory) return EXIT.done;
  const output = new LogOutput(formatOf(call), globals);
  const reader = new LogReader(directory, {
    label: options.text('label') ?? null,
    last,
    isFollowing,
    onLine: (line) => output.add(line),
  });
  await readAll(reader, output);
  while (isFollowing) {
    await changeIn(directory.path, systemClock);
    await readAll(reader, output);
  }
  reader.finish();
  output.flush();
  return EXIT.done;
}

/** Between portions the event loop gets its turn: a reader of ours that has left is noticed there. */
async function readAll(reader: LogReader, output: LogOutput): Promise<void> {
  while (reader.read()) {
    output.flush();
    await setImmediate();
  }
  output.flush();
}

function formatOf({ options, globals }: Call): LogFormat {
  if (options.flag('raw')) return 'raw';
  return globals.json ? 'json' : 'text';
}

/** Parses -n; throws `bad-usage`. Pure. */
export function parseLines(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw usageError(`Cannot show ${JSON.stringify(text)} lines: use a whole number`);
}

/** Gathers the lines of a portion, so that a long log is not one system call a line. */
class LogOutput {
  readonly #format: LogFormat;
  readonly #paint: ReturnType<typeof paintFor>;
  #lines: Buffer[] = [];
  #bytes = 0;

  constructor(format: LogFormat, globals: Globals) {
    this.#format = format;
    this.#paint = paintFor(globals);
  }

  add(line: Parameters<typeof formatLogLine>[0]): void {
    const bytes = formatLogLine(line, this.#format, this.#paint);
    this.#lines.push(bytes);
    this.#bytes += bytes.length;
  }

  flush(): void {
    if (this.#bytes > 0) print(Buffer.concat(this.#lines));
    this.#lines = [];
    this.#bytes = 0;
  }
}

interface Opening {
  readonly globals: Globals;
  readonly isFollowing: boolean;
}

/** Undefined for a vassal that is known and has written nothing. Throws `no-such-vassal`, `not-permitted`. */
async function openDirectory(name: string, opening: Opening): Promise<LogDirectory | undefined> {
  if (!isVassalName(name)) throw noSuchVassal(name, 'that is no name of one');
  const path = join(await logDirectoryOf(opening.globals), name);
  const directory = tryOpen(path);
  if (directory) return directory;
  if (!(await isKnown(name, opening.globals))) throw noSuchVassal(name, `${path} is not there`);
  while (opening.isFollowing) {
    await changeIn(null, systemClock);
    const made = tryOpen(path);
    if (made) return made;
  }
  return undefined;
}

function tryOpen(path: string): LogDirectory | undefined {
  try {
    return LogDirectory.open(path);
  } catch (cause) {
    if (!isErrno(cause, 'EACCES')) throw cause;
    throw new EmperorError('not-permitted', `Cannot read ${path}: permission denied; use sudo`, {
      cause,
    });
  }
}

function noSuchVassal(name: string, why: string): EmperorError {
  const shown = JSON.stringify(name);
  return new EmperorError('no-such-vassal', `Cannot read the log of vassal ${shown}: ${why}`);
}

/** The daemon knows best; without it, its configuration does. */
async function logDirectoryOf(globals: Globals): Promise<string> {
  const stats = await ifReachable(globals, (client) => client.stats());
  if (stats) return stats.logDir;
  const { iniFileOf, loadSettings } = await import('../settings.ts');
  const iniFile = iniFileOf(globals.ini);
  if (iniFile !== undefined) return loadSettings(iniFile).config.logDirectory;
  const { EMPEROR_OPTIONS } = await import('../../config/options/emperor.ts');
  return EMPEROR_OPTIONS.logDirectory.default;
}

async function isKnown(name: string, globals: Globals): Promise<boolean> {
  try {
    return (await ifReachable(globals, (client) => client.file(name))) !== undefined;
  } catch (error) {
    if (error instanceof EmperorError && error.code === 'no-such-vassal') return false;
    throw error;
  }
}

/** Resolves when something changes in the directory, and at the latest after a while. */
function changeIn(path: string | null, clock: Clock): Promise<void> {
  return new Promise((resolve) => {
    const watcher = path === null ? null : watch(path);
    const finish = () => {
      cancel();
      watcher?.close();
      resolve();
    };
    const cancel = clock.after(LOOK_AGAIN_MS, finish);
    watcher?.on('change', finish);
    watcher?.on('error', finish);
  });
}
