/** Which code a router that is started now would run, so that one of other code is replaced. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** All that src/router imports; a test compares. */
export const ROUTER_FOLDERS = ['base', 'firewall', 'jail', 'linux', 'router'] as const;

/** Hash of the built programs below `dist`, and of the Node that would run them. */
export function routerCode(dist: string): string {
  const hash = createHash('sha256').update(process.version);
  for (const folder of ROUTER_FOLDERS) {
    for (const name of readdirSync(join(dist, folder)).sort()) {
      if (name.endsWith('.js')) {
        hash.update(`\0${folder}/${name}\0`).update(readFileSync(join(dist, folder, name)));
      }
    }
  }
  return hash.digest('hex').slice(0, 16);
}
