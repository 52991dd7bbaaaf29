/**
 * The run-dir of an emperor.ini, for commands that only want to reach the daemon: read without resolving the
 * whole file, so that it is quick and works while the file is broken (the last good one is in force then).
 * A file in which run-dir may come from elsewhere is resolved in full.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { EmperorError, messageOf } from '../base/errors.ts';
import { Findings } from '../config/diagnose.ts';
import { type Entry, readIni } from '../config/ini.ts';
import { RUN_DIRECTORY } from '../config/options/run-directory.ts';

/** Throws `bad-config` where the file cannot be read or does not say. */
export async function runDirectoryOf(iniFile: string): Promise<string> {
  const plain = plainRunDirectory(iniFile, readText(iniFile));
  if (plain !== undefined) return plain;
  const { loadSettings } = await import('./settings.ts');
  return loadSettings(iniFile).config.runDirectory;
}

/** Undefined where only resolving can tell. Pure. */
export function plainRunDirectory(iniFile: string, text: string): string | undefined {
  const entries = readIni(iniFile, text, new Findings(iniFile))
    .filter(({ name }) => name === 'emperor' || name === 'uwsgi')
    .flatMap((section) => section.entries);
  if (entries.some(isMore)) return undefined;
  const value =
    entries.findLast(({ key }) => key === RUN_DIRECTORY.name)?.value ?? RUN_DIRECTORY.default;
  return resolve(dirname(resolve(iniFile)), value);
}

/** An include or a loop can set the key, a placeholder can stand in its value. */
function isMore({ key, value }: Entry): boolean {
  if (key === 'include' || key === 'for') return true;
  return key === RUN_DIRECTORY.name && /[%$]/.test(value);
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new EmperorError('bad-config', `Cannot read ${file}: ${messageOf(cause)}`, { cause });
  }
}
