/**
 * emperor.ini and every file that it or a vassal file includes: read, resolved, watched. What a broken edit
 * means is the emperor's business (emperor.ts): here it is an exception with all diagnostics.
 */
import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { readEnvironment } from '../base/environment.ts';
import { type Diagnostic, EmperorError, isErrno, messageOf } from '../base/errors.ts';
import { type EmperorConfig, loadEmperorConfig } from '../config/emperor-config.ts';
import { isDistroName } from '../distro/names.ts';
import { lookupGroup, lookupUser } from '../linux/accounts.ts';
import { listDirectories } from './listing.ts';
import { textFault } from './read-vassal-file.ts';
import type { FileOwner } from './sighting.ts';

const MAX_INCLUDE_BYTES = 64 * 1024;

export interface Settings {
  readonly config: EmperorConfig;
  readonly diagnostics: readonly Diagnostic[];
}

export type IncludeResult = { readonly text: string } | { readonly error: string };

export class SettingsFile {
  readonly #file: string;
  readonly #overrides: readonly string[];
  readonly #included = new Set<string>();
  #distrosDirectory: string | null = null;
  #watcher: FSWatcher | null = null;
  #distroWatcher: FSWatcher | null = null;

  constructor(iniFile: string, overrides: readonly string[]) {
    this.#file = resolve(iniFile);
    this.#overrides = overrides;
  }

  /** Reads and resolves emperor.ini. Throws `bad-config` with all diagnostics where it is not valid. */
  load(): Settings {
    const { config, diagnostics } = loadEmperorConfig({
      ...readIni(this.#file),
      overrides: this.#overrides,
      env: readEnvironment,
      readInclude: this.readInclude,
      lookupUser,
      lookupGroup,
      listDistros: this.#listDistros,
    });
    if (config) return { config, diagnostics };
    throw new EmperorError('bad-config', `Cannot use ${this.#file}: it has errors`, {
      diagnostics,
    });
  }

  /** Reads an operator's include file, and has it watched from now on. */
  readonly readInclude = (path: string): IncludeResult => {
    if (!this.#included.has(path)) {
      this.#included.add(path);
      this.#watcher?.add(path);
    }
    return readOperatorFile(path);
  };

  readonly #listDistros = (directory: string): readonly string[] => {
    this.#distrosDirectory = directory;
    return listDirectories(directory).filter(isDistroName).sort();
  };

  /**
   * Calls `onChange` whenever emperor.ini or an included file changes, by write or by rename, and when a
   * distro comes or goes.
   */
  watch(onChange: () => void): void {
    this.#watcher = watch([this.#file, ...this.#included], { ignoreInitial: true, atomic: 50 });
    this.#watcher.on('all', onChange);
    this.#watcher.on('error', onChange);
    if (this.#distrosDirectory === null) return;
    const options = { ignoreInitial: true, depth: 0 };
    this.#distroWatcher = watch(this.#distrosDirectory, options);
    for (const event of ['addDir', 'unlinkDir'] as const) this.#distroWatcher.on(event, onChange);
    this.#distroWatcher.on('error', onChange);
  }

  async close(): Promise<void> {
    await Promise.all([this.#watcher?.close(), this.#distroWatcher?.close()]);
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
    if (stat.size > MAX_INCLUDE_BYTES) return { error: 'it is larger than 64 KiB' };
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

/** Name servers of the host, for vassals that name none. */
export function hostNameServers(): readonly string[] {
  try {
    const text = readFileSync('/etc/resolv.conf', 'utf8');
    return [...text.matchAll(/^nameserver\s+(\S+)/gm)].flatMap(([, server]) => server ?? []);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}
