/** Kinds of lists in one value, separated by commas or blanks: namespaces, name servers, users. */
import { isIP } from 'node:net';
import { type Kind, type KindContext, type Parsed, plainKind, unlike } from './kind.ts';
import { MAX_ID } from './numbers.ts';

/** Kernel namespaces a vassal can have of its own, by uWSGI's names. */
export const NAMESPACES = ['fs', 'ipc', 'uts', 'net', 'pid', 'cgroup'] as const;
export type NamespaceName = (typeof NAMESPACES)[number];

/** Each name once, in the order of NAMESPACES. */
export const namespaces: Kind<readonly NamespaceName[]> = listKind(
  {
    name: 'namespace',
    expects: `a list out of ${NAMESPACES.join(', ')}`,
    separator: ',',
  },
  (word) => NAMESPACES.find((name) => name === word),
  (found) => NAMESPACES.filter((name) => found.includes(name)),
);

/** glibc looks at no more than three (resolv.conf(5)). */
const MAX_NAME_SERVERS = 3;

export const nameServers: Kind<readonly string[]> = listKind(
  { name: 'IP address', expects: 'up to three IP addresses of name servers', separator: ' ' },
  (word) => (isIP(word) === 0 || word.includes('%') ? undefined : word),
  (found) => found.slice(0, MAX_NAME_SERVERS + 1),
  MAX_NAME_SERVERS,
);

/** Users by name or number; the value is their uids. */
export const users: Kind<readonly number[]> = listKind(
  { name: 'user', expects: 'users of this machine, by name or uid', separator: ' ' },
  (word, { lookupUser }) => idOf(word, lookupUser),
  (found) => [...new Set(found)],
);

/** A group by name or number; the value is its gid. */
export const group: Kind<number> = plainKind(
  { name: 'group', expects: 'a group of this machine, by name or gid' },
  (word, { lookupGroup }) => idOf(word, lookupGroup),
  String,
);

function idOf(word: string, lookup: (name: string) => number | undefined): number | undefined {
  if (!/^\d{1,10}$/.test(word)) return lookup(word);
  const id = Number(word);
  return id <= MAX_ID ? id : undefined;
}

/** `tidy` puts the items in order; more than `max` of them are a fault. */
function listKind<T extends string | number>(
  described: { readonly name: string; readonly expects: string; readonly separator: string },
  read: (word: string, context: KindContext) => T | undefined,
  tidy: (found: readonly T[]) => readonly T[],
  max = Infinity,
): Kind<readonly T[]> {
  const { name, expects, separator } = described;
  return {
    name: `${name} list`,
    expects,
    schema: { minLength: 1 },
    parse(text, context): Parsed<readonly T[]> {
      const found: T[] = [];
      for (const { 0: word, index } of text.matchAll(/[^,\s]+/g)) {
        const item = read(word, context);
        if (item === undefined) {
          return { fault: { ...unlike(word, { name, expects }).fault, offset: index } };
        }
        found.push(item);
      }
      const value = tidy(found);
      if (value.length === 0) return unlike('', this);
      if (value.length <= max) return { value };
      return { fault: { message: `it lists more than ${max}`, hint: `it takes ${expects}` } };
    },
    print: (items) => items.join(separator),
  };
}
