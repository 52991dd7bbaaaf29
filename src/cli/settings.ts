/** emperor.ini for commands that work without a daemon: --ini, else ./emperor.ini, else the defaults. */
import { existsSync } from 'node:fs';
import { readEnvironment } from '../base/environment.ts';
import { EmperorError } from '../base/errors.ts';
import { type LoadedEmperor, loadEmperorConfig } from '../config/emperor-config.ts';
import { listDirectories } from '../emperor/listing.ts';
import { type IncludeResult, type Settings, SettingsFile } from '../emperor/settings.ts';

const HERE = 'emperor.ini';

export interface OpenSettings extends Settings {
  readonly readInclude: (path: string) => IncludeResult;
}

/** Throws `bad-config` with all diagnostics. */
export function loadSettings(iniFile: string): OpenSettings {
  const file = new SettingsFile(iniFile, []);
  return { ...file.load(), readInclude: file.readInclude };
}

/** Returns the file that is meant; undefined where there is none. */
export function iniFileOf(ini: string | undefined): string | undefined {
  if (ini !== undefined) return ini;
  return existsSync(HERE) ? HERE : undefined;
}

/** The settings of an emperor that nobody has configured. */
export function defaultSettings(): OpenSettings {
  const readInclude = () => ({ error: 'there is no emperor.ini' });
  const { config, diagnostics } = loadDefaults(readInclude);
  if (config) return { config, diagnostics, readInclude };
  throw new EmperorError('bad-config', 'Cannot use the built-in defaults', { diagnostics });
}

function loadDefaults(readInclude: OpenSettings['readInclude']): LoadedEmperor {
  return loadEmperorConfig({
    file: 'built-in defaults',
    text: '[emperor]\nvassals = /nonexistent\n',
    owner: { uid: 0, gid: 0, mode: 0o644 },
    overrides: [],
    env: readEnvironment,
    readInclude,
    lookupUser: () => undefined,
    lookupGroup: () => undefined,
    listDistros: listDirectories,
  });
}
