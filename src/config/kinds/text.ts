/** Kinds of texts: free text, names, choices, switches, environment variables. */
import { didYouMean } from '../../base/nearest.ts';
import { abbreviated, type Kind, plainKind } from './kind.ts';

/** Anything but nothing. */
export const text: Kind<string> = plainKind(
  { name: 'text', expects: 'a text', schema: { minLength: 1 } },
  (value) => (value === '' ? undefined : value),
  (value) => value,
);

/** A word for a directory entry: a distro, a class. */
export const name: Kind<string> = plainKind(
  {
    name: 'name',
    expects: 'a name of letters, digits and `._+-`',
    schema: { pattern: '^[A-Za-z0-9][A-Za-z0-9._+-]*$' },
  },
  (value) => (/^[A-Za-z0-9][A-Za-z0-9._+-]{0,62}$/.test(value) ? value : undefined),
  (value) => value,
);

/** A user of the host by name or uid, who need not be there yet (useradd(8)); never root. */
export const account: Kind<string> = plainKind(
  {
    name: 'user name',
    expects: 'a user of this machine but root, by name or uid',
    schema: { pattern: '^([a-z_][a-z0-9_.-]{0,31}|[1-9][0-9]{0,9})$' },
  },
  (value) =>
    /^([a-z_][a-z0-9_.-]{0,31}|[1-9]\d{0,9})$/.test(value) && value !== 'root' ? value : undefined,
  (value) => value,
);

/** What sethostname(2) takes and tools print without surprise; a vassal's name is always one. */
export const hostname: Kind<string> = plainKind(
  {
    name: 'host name',
    expects: 'at most 64 letters, digits and `.-_`, beginning with a letter or digit',
    schema: { pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' },
  },
  (value) => (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(value) ? value : undefined),
  (value) => value,
);

/** One of a few words. */
export function choice<const W extends string>(words: readonly W[]): Kind<W> {
  const expects = `one of ${words.map((word) => `\`${word}\``).join(', ')}`;
  return {
    name: 'choice',
    expects,
    schema: { enum: words },
    parse(value) {
      const found = words.find((word) => word === value);
      if (found !== undefined) return { value: found };
      const hint = didYouMean(value, words) ?? `it takes ${expects}`;
      return { fault: { message: `\`${abbreviated(value)}\` is not ${expects}`, hint } };
    },
    print: (value) => value,
  };
}

const TRUE = ['true', 'yes', 'on', '1'];
const FALSE = ['false', 'no', 'off', '0'];

export const boolean: Kind<boolean> = plainKind(
  { name: 'switch', expects: '`true` or `false`', schema: { enum: [...TRUE, ...FALSE] } },
  (value) => (TRUE.includes(value) ? true : FALSE.includes(value) ? false : undefined),
  String,
);

export type EnvPair = readonly [name: string, value: string];

/** `NAME=VALUE` of the environment. */
export const envPair: Kind<EnvPair> = plainKind(
  {
    name: 'environment variable',
    expects: '`NAME=VALUE`, where NAME has letters, digits and `_`',
    schema: { pattern: '^[A-Za-z_][A-Za-z0-9_]*=' },
  },
  (value) => {
    const match = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(value);
    return match ? [match[1] ?? '', match[2] ?? ''] : undefined;
  },
  ([key, value]) => `${key}=${value}`,
);
