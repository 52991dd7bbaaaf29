/**
 * Removes what a vassal leaves behind: home, its image, and logs. They are put aside at once under a hidden name, since
 * a new vassal of that name may come while they are being removed; what an emperor had put aside when it was
 * killed is removed by the next one.
 */
import { chmodSync, existsSync, lchownSync, lstatSync, readdirSync, renameSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { PATIENT, runTool } from '../base/run-tool.ts';

const PREFIX = '.purged-';

/** Takes the paths that exist out of the way; returns where they are now. */
export function setAside(paths: readonly string[]): readonly string[] {
  return paths
    .filter((path) => existsSync(path))
    .map((path) => {
      const aside = join(dirname(path), `${PREFIX}${process.pid}-${basename(path)}`);
      renameSync(path, aside);
      takeOver(aside);
      return aside;
    });
}

/** A user of the host with that uid could else put links in the way of what root removes. */
function takeOver(path: string): void {
  lchownSync(path, 0, 0);
  if (lstatSync(path).isDirectory()) chmodSync(path, 0o700);
}

/** Finds what was put aside in `directories` and not removed. */
export function findAside(directories: readonly string[]): readonly string[] {
  return directories
    .filter((directory) => existsSync(directory))
    .flatMap((directory) =>
      readdirSync(directory)
        .filter((name) => name.startsWith(PREFIX))
        .map((name) => join(directory, name)),
    );
}

/**
 * By rm(1), which holds on to each directory that it is in: a user of the host with that uid may have one of them open
 * from before, and swaps what is in it for links, which Node would follow. What is mounted in there stays.
 */
export async function removeAside(paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  await runTool(['rm', '-rf', '--one-file-system', '--', ...paths], '', PATIENT);
}
