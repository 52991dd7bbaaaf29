/** Names of users and groups of the host, from /etc/passwd and /etc/group (passwd(5), group(5)). */
import { readFileSync } from 'node:fs';

/** Returns the uid of `name`, or undefined. */
export function lookupUser(name: string): number | undefined {
  return lookup('/etc/passwd', name);
}

/** Returns the gid of `name`, or undefined. */
export function lookupGroup(name: string): number | undefined {
  return lookup('/etc/group', name);
}

/** Returns the login shell of `name`, or undefined. */
export function lookupShell(name: string): string | undefined {
  return find('/etc/passwd', name)?.[6];
}

function lookup(file: string, name: string): number | undefined {
  const id = find(file, name)?.[2];
  return id !== undefined && /^\d+$/.test(id) ? Number(id) : undefined;
}

/** The fields of an entry. */
function find(file: string, name: string): readonly string[] | undefined {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.map((line) => line.split(':')).find(([account]) => account === name);
}
