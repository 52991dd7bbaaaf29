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

function lookup(file: string, name: string): number | undefined {
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [account, , id] = line.split(':');
    if (account === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}
