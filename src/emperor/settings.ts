/**
 * emperor.ini as the emperor holds it: read, resolved, watched. A broken edit never touches what runs: the
 * last good configuration stays and the findings are shown.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { readEnvironment } from '../base/environment.ts';
import { type Diagnostic, EmperorError, isErrno, messageOf } from '../base/errors.ts';
import { type EmperorConfig, loadEmperorConfig } from '../config/emperor-config.ts';
import { lookupGroup, lookupUser } from '../linux/accounts.ts';

const MAX_INCLUDE_BYTES = 64 * 1024;

export interface Settings {
  readonly config: EmperorConfig;
  readonly diagnostics: readonly Diagnostic[];
}

/** Reads and resolves emperor.ini. Throws `bad-config` with all diagnostics where it is not valid. */
export function loadSettings(iniFile: string, overrides: readonly string[]): Settings {
  const file = resolve(iniFile);
  const { config, diagnostics } = loadEmperorConfig({
    ...readIni(file),
    overrides,
    ...surroundings(),
  });
  if (!config) {
    throw new EmperorError('bad-config', `Cannot use ${iniFile}: it has errors`, { diagnostics });
  }
  return { config, diagnostics };
}

function readIni(file: string): { file: string; text: string; ownerUid: number } {
  try {
    return { file, text: readFileSync(file, 'utf8'), ownerUid: statSync(file).uid };
  } catch (error) {
    throw new EmperorError('bad-config', `Cannot read ${file}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function surroundings() {
  return { env: readEnvironment, readInclude, lookupUser, lookupGroup };
}

/** Reads an operator's include file; an error text where it cannot or must not be read. */
export function readInclude(path: string): { readonly text: string } | { readonly error: string } {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return { error: 'not a regular file' };
    if (stat.size > MAX_INCLUDE_BYTES) return { error: 'larger than 64 KiB' };
    if ((stat.mode & 0o002) !== 0) return { error: 'writable by everyone; chmod o-w it' };
    return { text: readFileSync(path, 'utf8') };
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return { error: 'there is no such file' };
    return { error: messageOf(error) };
  }
}

/** Calls `onChange` whenever emperor.ini or one of `included` changes, by write or by rename. */
export function watchSettings(
  iniFile: string,
  included: () => readonly string[],
  onChange: () => void,
): { refresh: () => void; close: () => Promise<void> } {
  const options = { ignoreInitial: true, awaitWriteFinish: false, atomic: 50 } as const;
  const watcher: FSWatcher = watch([resolve(iniFile)], options);
  watcher.on('all', onChange);
  watcher.on('error', onChange);
  return {
    refresh: () => void watcher.add([...included()]),
    close: () => watcher.close(),
  };
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

/** Directory that relative paths of `iniFile` are relative to. */
export function baseOf(iniFile: string): string {
  return dirname(resolve(iniFile));
}
