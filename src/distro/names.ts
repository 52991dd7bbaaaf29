/** Names of distros: a directory each in the distros directory. */
import { join } from 'node:path';
import { EmperorError } from '../base/errors.ts';

const NAME = /^[a-z0-9][a-z0-9._+-]{0,62}$/;

/** Tells whether a directory of that name counts as a distro; hidden ones are builds under way. */
export function isDistroName(name: string): boolean {
  return NAME.test(name);
}

/** Returns where the distro is; throws `bad-usage` for a name that cannot be one (such as `../etc`). */
export function distroPath(directory: string, name: string): string {
  if (isDistroName(name)) return join(directory, name);
  throw new EmperorError(
    'bad-usage',
    `Cannot use the distro name ${JSON.stringify(name)}: small letters, digits and ._+- make one`,
  );
}
