/** Configuration texts as a test writes them, resolved without a file, an account or an environment. */
import type { Diagnostic } from '../../src/base/errors.ts';
import {
  type EmperorConfig,
  type EmperorSource,
  type LoadedEmperor,
  loadEmperorConfig,
} from '../../src/config/emperor-config.ts';
import {
  type ResolvedVassal,
  resolveVassal,
  type VassalConfig,
  type VassalSource,
} from '../../src/config/vassal-config.ts';

export const EMPEROR_FILE = '/etc/emperor/emperor.ini';
export const VASSAL_FILE = '/etc/emperor/vassals/blog.ini';
export const TENANT = { uid: 200_007, gid: 200_007 };

const ENVIRONMENT: ReadonlyMap<string, string> = new Map([
  ['HOME', '/root'],
  ['EMPTY', ''],
  ['MULTILINE', 'a\nexec-as-root = id'],
]);
const ACCOUNTS: ReadonlyMap<string, number> = new Map([
  ['root', 0],
  ['panel', 1005],
  ['adm', 4],
]);

type Files = Readonly<Record<string, string>>;

function reader(files: Files) {
  return (path: string) => {
    const text = Object.hasOwn(files, path) ? files[path] : undefined;
    return text === undefined ? { error: 'there is no such file' } : { text };
  };
}

/** Loads `text` as emperor.ini; `files` are what it may include. */
export function loadEmperor(
  text: string,
  changes: Partial<EmperorSource> & { readonly files?: Files } = {},
): LoadedEmperor {
  return loadEmperorConfig({
    file: EMPEROR_FILE,
    text,
    owner: { uid: 0, gid: 0, mode: 0o644 },
    overrides: [],
    env: (name) => ENVIRONMENT.get(name),
    readInclude: reader(changes.files ?? {}),
    lookupUser: (name) => ACCOUNTS.get(name),
    lookupGroup: (name) => ACCOUNTS.get(name),
    listDistros: () => ['bookworm', 'trixie'],
    ...changes,
  });
}

/** The configuration of an emperor.ini with these further lines; it must be valid. */
export function emperorOf(lines = '', changes: Partial<EmperorSource> = {}): EmperorConfig {
  const text = `[emperor]\nvassals = vassals\ndistro = bookworm\n${lines}`;
  const { config, diagnostics } = loadEmperor(text, changes);
  if (!config) throw new Error(`not valid: ${brief(diagnostics).join(', ')}`);
  return config;
}

/** Resolves `text` as the operator's file of vassal `blog`. */
export function resolve(
  text: string,
  changes: Partial<VassalSource> & { readonly files?: Files } = {},
): ResolvedVassal {
  return resolveVassal({
    name: 'blog',
    file: VASSAL_FILE,
    text,
    trust: 'operator',
    emperor: changes.emperor ?? DEFAULT_EMPEROR,
    env: (name) => ENVIRONMENT.get(name),
    readInclude: reader(changes.files ?? {}),
    ...changes,
  });
}

/** Resolves `text` as a file that belongs to the vassal's own uid. */
export function resolveTenant(text: string, changes: Partial<VassalSource> = {}): ResolvedVassal {
  return resolve(text, { trust: 'tenant', tenant: TENANT, ...changes });
}

/** The vassal that these lines make; they must be valid. */
export function vassalOf(lines: string, changes: Parameters<typeof resolve>[1] = {}): VassalConfig {
  const { vassal, diagnostics } = resolve(`[vassal]\n${lines}`, changes);
  if (!vassal) throw new Error(`not valid: ${brief(diagnostics).join(', ')}`);
  return vassal;
}

/** `LINE:COLUMN CODE` of each finding. */
export function brief(diagnostics: readonly Diagnostic[]): readonly string[] {
  return diagnostics.map(({ line, column, code }) => `${line}:${column} ${code}`);
}

const DEFAULT_EMPEROR = emperorOf();
