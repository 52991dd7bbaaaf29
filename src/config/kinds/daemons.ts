/** The kinds of attached daemons, in uWSGI's three spellings; all come to one shape. */
import { didYouMean } from '../../base/nearest.ts';
import type { Fault, Kind, Parsed } from './kind.ts';
import { unlike } from './kind.ts';
import { MAX_ID, signal } from './numbers.ts';
import { quoteWord, type Split, splitItems, splitWords } from './shell-words.ts';
import { commandWords } from './words.ts';

/** A process beside the command. Paths are inside the vassal, relative ones go by its home. */
export interface Daemon {
  readonly command: readonly string[];
  /** What its label shall be; null: named after its program. */
  readonly name: string | null;
  /** Where a daemon that puts itself into the background writes its pid; null: it stays in the foreground. */
  readonly pidFile: string | null;
  /** How long its pid file may take, and how often `touch` is looked at; null: not said. */
  readonly freqMs: number | null;
  /** Its end restarts the command. */
  readonly isControl: boolean;
  /** Files whose modification restarts it. */
  readonly touch: readonly string[];
  readonly stopSignal: number;
  /** What a reload sends it in place of a restart. */
  readonly reloadSignal: number | null;
  readonly chdir: string | null;
  /** Asked for; it can only be the vassal's own. */
  readonly uid: number | null;
  readonly gid: number | null;
}

const PLAIN: Omit<Daemon, 'command'> = {
  name: null,
  pidFile: null,
  freqMs: null,
  isControl: false,
  touch: [],
  stopSignal: 15,
  reloadSignal: null,
  chdir: null,
  uid: null,
  gid: null,
};

/** One of which nothing but its command is known. */
export function plainDaemon(words: readonly string[]): Daemon {
  return { ...PLAIN, command: words };
}

const MAX_FREQ_S = 3600;

/** `attach-daemon`: a command. */
export const attachedDaemon: Kind<Daemon> = {
  ...commandWords,
  name: 'command',
  parse(text, context) {
    const parsed = commandWords.parse(text, context);
    return 'fault' in parsed ? parsed : { ...parsed, value: plainDaemon(parsed.value) };
  },
  print: ({ command }) => commandWords.print(command),
};

/** `smart-attach-daemon`: a pid file, after it or after a comma a number of seconds, and a command. */
export const smartDaemon: Kind<Daemon> = {
  name: 'daemon',
  expects: '`PIDFILE [SECONDS] COMMAND`, where the command puts itself into the background',
  schema: { pattern: '^\\S+.*\\s+.*\\S+$' },
  parse(text, context) {
    const match = /^(\S+?)(?:(?:,|\s+)(\d{1,9}))?\s+(\S.*)$/.exec(text);
    const [, pidFile = '', seconds, rest = ''] = match ?? [];
    if (!match) return unlike(text, smartDaemon);
    const freqMs = seconds === undefined ? null : freqOf(seconds);
    if (freqMs === undefined) return { fault: badFreq(seconds ?? '') };
    const parsed = commandWords.parse(rest, context);
    if ('fault' in parsed) return { fault: shifted(parsed.fault, text.length - rest.length) };
    const warnings = (parsed.warnings ?? []).map((warning) => ({
      ...warning,
      offset: (warning.offset ?? 0) + text.length - rest.length,
    }));
    return { warnings, value: { ...PLAIN, command: parsed.value, pidFile, freqMs } };
  },
  print: ({ command, pidFile, freqMs }) => {
    const seconds = freqMs === null ? '' : ` ${freqMs / 1000}`;
    return `${pidFile ?? ''}${seconds} ${commandWords.print(command)}`;
  },
};

function shifted(fault: Fault, by: number): Fault {
  return fault.offset === undefined ? fault : { ...fault, offset: fault.offset + by };
}

function freqOf(text: string): number | undefined {
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  return seconds >= 1 && seconds <= MAX_FREQ_S ? seconds * 1000 : undefined;
}

function badFreq(text: string): Fault {
  const hint = `it takes seconds from 1 to ${MAX_FREQ_S}`;
  return { message: `\`${text}\` is no number of seconds`, hint };
}

// ── attach-daemon2 ─────────────────────────────────────────────────────────────────────────────

type Mutable = { -readonly [Key in keyof Daemon]: Daemon[Key] };
/** Reads one value into the daemon; returns what is wrong with it. */
type Reader = (daemon: Mutable, value: string) => string | undefined;

const command: Reader = (daemon, value) => {
  const outer = splitWords(value);
  const [only, ...others] = wordsOf(outer);
  const isWholeQuoted = only !== undefined && others.length === 0 && /\s/.test(only);
  const split = isWholeQuoted ? splitWords(only) : outer;
  if ('message' in split) return split.message;
  daemon.command = wordsOf(split);
  return daemon.command[0] ? undefined : 'it names no program';
};

const word =
  (field: 'chdir' | 'pidFile'): Reader =>
  (daemon, value) => {
    const [text, ...others] = wordsOf(splitWords(value));
    if (!text || others.length > 0) return `\`${value}\` is no path; quote one with spaces`;
    daemon[field] = text;
    return undefined;
  };

const signalNumber =
  (field: 'stopSignal' | 'reloadSignal'): Reader =>
  (daemon, value) => {
    const parsed = signal.parse(value, NO_CONTEXT);
    if ('fault' in parsed) return parsed.fault.message;
    daemon[field] = parsed.value;
    return undefined;
  };

const id =
  (field: 'uid' | 'gid'): Reader =>
  (daemon, value) => {
    const number = /^\d{1,10}$/.test(value) ? Number(value) : 0;
    if (number < 1 || number > MAX_ID) return `\`${value}\` is no ${field} but 0`;
    daemon[field] = number;
    return undefined;
  };

const NO_CONTEXT = { directory: '/', lookupUser: () => undefined, lookupGroup: () => undefined };

/** What makes a label: one word of a log line. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$/;

const READERS: Readonly<Record<string, Reader>> = {
  cmd: command,
  command,
  exec: command,
  name: (daemon, value) => {
    if (!NAME.test(value)) return `\`${value}\` is no name of up to 40 letters, digits and \`._-\``;
    daemon.name = value;
    return undefined;
  },
  pidfile: word('pidFile'),
  freq: (daemon, value) => {
    const freqMs = freqOf(value);
    if (freqMs === undefined) return badFreq(value).message;
    daemon.freqMs = freqMs;
    return undefined;
  },
  control: (daemon, value) => {
    if (!/^(?:0|1|true|false)$/.test(value)) return `\`${value}\` is neither \`1\` nor \`0\``;
    daemon.isControl = value === '1' || value === 'true';
    return undefined;
  },
  touch: (daemon, value) => {
    const files = wordsOf(splitWords(value)).join(' ').split(';').filter(Boolean);
    if (files.length === 0) return 'it names no file';
    daemon.touch = files;
    return undefined;
  },
  stopsignal: signalNumber('stopSignal'),
  reloadsignal: signalNumber('reloadSignal'),
  chdir: word('chdir'),
  uid: id('uid'),
  gid: id('gid'),
};

/** uWSGI's, and why they are not taken. */
const NOT_TAKEN: Readonly<Record<string, string>> = {
  daemonize: 'give the command without it: what stays in the foreground is watched just as well',
  daemon: 'give the command without it: what stays in the foreground is watched just as well',
  stdin: 'every daemon reads from /dev/null',
  ns_pid: 'a daemon is in the namespaces of its vassal',
  max_throttle: 'the emperor sets `emperor-max-throttle`',
  notifypid: 'no process is told of others',
};

/** `attach-daemon2`: `KEY=VALUE` separated by commas; quotes keep a comma in a value. */
export const tunedDaemon: Kind<Daemon> = {
  name: 'daemon',
  expects: `\`cmd=COMMAND\` and, after commas, any of ${Object.keys(READERS).slice(3).join(', ')}`,
  schema: { pattern: '^[a-z_]+=' },
  parse(text): Parsed<Daemon> {
    const items = splitItems(text, ',');
    if ('message' in items) return { fault: items };
    const daemon: Mutable = { ...PLAIN, command: [] };
    const seen = new Set<string>();
    const faults = items.items.flatMap((item) => readItem(daemon, item, seen) ?? []);
    if (faults.length === 0 && daemon.command.length === 0) {
      faults.push({ message: 'it has no `cmd`', hint: `it takes ${tunedDaemon.expects}` });
    }
    const [fault, ...more] = faults;
    return fault ? { fault, more } : { value: daemon };
  },
  print: printTuned,
};

function readItem(
  daemon: Mutable,
  item: { readonly text: string; readonly start: number },
  seen: Set<string>,
): Fault | undefined {
  const { start: offset } = item;
  const [, key = '', value = ''] = /^\s*([A-Za-z0-9_]+)=(.*?)\s*$/.exec(item.text) ?? [];
  if (key === '') {
    const hint = "quote a value that holds a comma: `cmd='program a,b'`";
    return { message: `\`${item.text.trim()}\` is no KEY=VALUE`, hint, offset };
  }
  const read = Object.hasOwn(READERS, key) ? READERS[key] : undefined;
  if (!read) {
    const hint = NOT_TAKEN[key] ?? didYouMean(key, Object.keys(READERS));
    const message = `\`${key}\` is no key of a daemon`;
    return { message, hint: hint ?? `it takes ${tunedDaemon.expects}`, offset };
  }
  if (seen.has(key)) return { message: `\`${key}\` stands twice`, hint: 'keep one', offset };
  seen.add(key);
  const trouble = read(daemon, value);
  return trouble === undefined ? undefined : { message: `\`${key}\`: ${trouble}`, offset };
}

function wordsOf(split: Split): readonly string[] {
  return 'words' in split ? split.words.map(({ text }) => text) : [];
}

function printTuned(daemon: Daemon): string {
  const { name, pidFile, freqMs, isControl, touch, stopSignal, reloadSignal } = daemon;
  const pairs: readonly (readonly [string, string | null])[] = [
    ['cmd', printCommand(daemon.command)],
    ['name', name],
    ['pidfile', pidFile === null ? null : quoteItem(pidFile)],
    ['freq', freqMs === null ? null : String(freqMs / 1000)],
    ['control', isControl ? '1' : null],
    ['touch', touch.length === 0 ? null : quoteItem(touch.join(';'))],
    ['stopsignal', stopSignal === PLAIN.stopSignal ? null : signal.print(stopSignal)],
    ['reloadsignal', reloadSignal === null ? null : signal.print(reloadSignal)],
    ['chdir', daemon.chdir === null ? null : quoteItem(daemon.chdir)],
    ['uid', daemon.uid === null ? null : String(daemon.uid)],
    ['gid', daemon.gid === null ? null : String(daemon.gid)],
  ];
  return pairs.flatMap(([key, value]) => (value === null ? [] : [`${key}=${value}`])).join(',');
}

function printCommand(words: readonly string[]): string {
  const text = words.map(quoteItem).join(' ');
  const [only] = words;
  // One quoted word is read as a whole command.
  return words.length === 1 && only !== undefined && /\s/.test(only) ? quoteWord(text) : text;
}

/** As quoteWord(), and commas too. */
function quoteItem(text: string): string {
  return text.includes(',') ? `'${text.replaceAll("'", "'\\''")}'` : quoteWord(text);
}
