/** Names of vassals: what a file must be called to be one. */

const NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const SUFFIX = '.ini';
/** Files of ours in log-dir, where every vassal has a directory of its name. */
const RESERVED = ['emperor.log', 'launcher.log', 'router.log'];

/** Returns the vassal's name of a file name; undefined if it is no vassal's file. */
export function vassalNameOfFile(file: string): string | undefined {
  if (!file.endsWith(SUFFIX)) return undefined;
  const name = file.slice(0, -SUFFIX.length);
  return isVassalName(name) ? name : undefined;
}

/** What other programs would take for a configuration, of uWSGI's formats. */
const FOREIGN_SUFFIX = /^[^.].*\.(json|ya?ml|js|xml)$/;

/** Tells why a file that looks as if it were meant for a vassal is none; undefined for all others, such as backups. */
export function whyNoVassal(file: string): string | undefined {
  if (FOREIGN_SUFFIX.test(file)) return 'write it as an .ini file';
  if (file.startsWith('.') || !file.endsWith(SUFFIX) || vassalNameOfFile(file)) return undefined;
  return 'a name is of a-z, 0-9, dot, hyphen and underscore, and at most 63 long';
}

/** Tells whether a vassal can be called that. */
export function isVassalName(name: string): boolean {
  return NAME.test(name) && !RESERVED.includes(name);
}
