/**
 * emperor.ini and every file that it or a vassal file includes: read, resolved, watched. What a broken edit
 * means is the emperor's business (emperor.ts): here it is an exception with all diagnostics.
 */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { readEnvironment } from '../base/environment.ts';
import {
  type Diagnostic,
  EmperorError,
  isErrno,
  isSystemError,
  messageOf,
} from '../base/errors.ts';
import { type EmperorConfig, loadEmperorConfig } from '../config/emperor-config.ts';
import { MAX_TEXT_BYTES } from '../config/ini.ts';
import { isDistroName } from '../distro/names.ts';
import { lookupGroup, lookupUser } from '../linux/accounts.ts';
import { isBeingWritten } from '../linux/lease.ts';
import { listDirectories } from './listing.ts';
import { textFault } from './read-vassal-file.ts';
import type { FileOwner } from './sighting.ts';

/** Events only say when to look; what they lose is found that late. */
const RESCAN_MS = 5000;
/** After a change, or while it is being written, a file is looked at again: nobody watches it while it is replaced. */
const RETRY_MS = 200;

export interface Settings {
  readonly config: EmperorConfig;
  readonly diagnostics: readonly Diagnostic[];
}

export type IncludeResult = { readonly text: string } | { readonly error: string };

export class SettingsFile {
  readonly #file: string;
  readonly #overrides: readonly string[];
  /** Files that were read → what they looked like just before. */
  readonly #looks = new Map<string, string>();
  #distros: { readonly directory: string; readonly names: readonly string[] } | null = null;
  readonly #watchers: FSWatcher[] = [];
  readonly #rescanMs: number;
  #rescan: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;
  #hasLoaded = false;
  #look: () => void = () => {};

  constructor(iniFile: string, overrides: readonly string[], rescanMs = RESCAN_MS) {
    this.#file = resolve(iniFile);
    this.#overrides = overrides;
    this.#rescanMs = rescanMs;
  }

  /**
   * Reads and resolves emperor.ini. Throws `bad-config` with all diagnostics where it is not valid, and, but for
   * the first time, where a writer is at it or at an included file: half a file may be valid.
   */
  load(): Settings {
    this.#note(this.#file);
    const { config, diagnostics } = loadEmperorConfig({
      ...readIni(this.#file),
      overrides: this.#overrides,
      env: readEnvironment,
      readInclude: this.readInclude,
      lookupUser,
      lookupGroup,
      listDistros: this.#listDistros,
    });
    const unsettled = this.#hasLoaded ? this.#findUnsettled() : undefined;
    if (unsettled !== undefined) {
      throw new EmperorError('bad-config', `Cannot use ${unsettled}: it is being written`);
    }
    if (config) this.#hasLoaded = true;
    if (config) return { config, diagnostics };
    throw new EmperorError('bad-config', `Cannot use ${this.#file}: it has errors`, {
      diagnostics,
    });
  }

  /** A file that is, or was, being written while we read; it is looked at again soon. */
  #findUnsettled(): string | undefined {
    const found = [...this.#looks].find(([path, look]) => look !== lookOf(path) || isOpen(path));
    if (!found) return undefined;
    const [path] = found;
    this.#looks.set(path, 'being written');
    this.#lookSoon();
    return path;
  }

  #lookSoon(): void {
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#look(), RETRY_MS).unref();
  }

  /** Reads an operator's include file, and has it watched from now on. */
  readonly readInclude = (path: string): IncludeResult => {
    this.#note(path);
    return readOperatorFile(path);
  };

  /** Another directory counts after a restart; until then jails are made from the first one. */
  readonly #listDistros = (named: string): readonly string[] => {
    const directory = this.#distros?.directory ?? named;
    const names = distrosIn(directory);
    this.#distros = { directory, names };
    return names;
  };

  #note(path: string): void {
    if (!this.#looks.has(path)) this.#watchers[0]?.add(path);
    this.#looks.set(path, lookOf(path));
  }

  /**
   * Calls `onChange` whenever emperor.ini or an included file changes, by write or by rename, and when a
   * distro comes or goes; also for what changed since it was read. Resolves once nothing can be missed.
   */
  async watch(onChange: () => void): Promise<void> {
    const files = watch([...this.#looks.keys()], { ignoreInitial: true, atomic: 50 });
    files.on('all', () => {
      onChange();
      this.#lookSoon();
    });
    this.#watchers.push(files);
    if (this.#distros) {
      const distros = watch(this.#distros.directory, { ignoreInitial: true, depth: 0 });
      distros.on('addDir', onChange).on('unlinkDir', onChange);
      this.#watchers.push(distros);
    }
    await Promise.all(this.#watchers.map((watcher) => isReady(watcher, onChange)));
    this.#look = () => {
      if (this.#hasChanged()) onChange();
    };
    this.#look();
    this.#rescan = setInterval(this.#look, this.#rescanMs).unref();
  }

  /** Compares with what was seen last, and sees: a file that nobody reads any more is told of once. */
  #hasChanged(): boolean {
    const before = [...this.#looks].flat().concat(this.#distros?.names ?? []);
    for (const path of this.#looks.keys()) this.#looks.set(path, lookOf(path));
    if (this.#distros) this.#listDistros(this.#distros.directory);
    const now = [...this.#looks].flat().concat(this.#distros?.names ?? []);
    return now.join('/') !== before.join('/');
  }

  async close(): Promise<void> {
    clearInterval(this.#rescan);
    clearTimeout(this.#retry);
    await Promise.all(this.#watchers.map((watcher) => watcher.close()));
  }
}

/** An error of the watcher means that something may have been missed. */
function isReady(watcher: FSWatcher, onChange: () => void): Promise<void> {
  watcher.on('error', onChange);
  return new Promise((resolve) => void watcher.once('ready', resolve));
}

function distrosIn(directory: string): readonly string[] {
  return listDirectories(directory).filter(isDistroName).sort();
}

function isOpen(path: string): boolean {
  try {
    return isBeingWritten(path);
  } catch (error) {
    // Gone, or closed to us: whoever reads it says so.
    if (isSystemError(error)) return false;
    throw error;
  }
}

/** Changes whenever the file is written, replaced or becomes readable. */
function lookOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`;
  } catch (error) {
    // Whoever reads the file says what is wrong with it.
    return messageOf(error);
  }
}

function readIni(file: string): { file: string; text: string; owner: FileOwner } {
  try {
    const { uid, gid, mode } = statSync(file);
    return { file, text: textOf(file), owner: { uid, gid, mode: mode & 0o7777 } };
  } catch (error) {
    throw new EmperorError('bad-config', `Cannot read ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function readOperatorFile(path: string): IncludeResult {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return { error: 'it is no regular file' };
    if (stat.size > MAX_TEXT_BYTES) return { error: 'it is larger than 64 KiB' };
    if ((stat.mode & 0o002) !== 0) return { error: 'everybody can write to it; chmod o-w it' };
    return { text: textOf(path) };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { error: 'there is no such file' };
    return { error: messageOf(error) };
  }
}

/** Throws where the bytes are no UTF-8 text, which decoding would hide. */
function textOf(path: string): string {
  const bytes = readFileSync(path);
  const fault = textFault(bytes);
  if (fault) throw new Error(`line ${fault.line}: ${fault.message}; ${fault.hint}`);
  return bytes.toString('utf8');
}
