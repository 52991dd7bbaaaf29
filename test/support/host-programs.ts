/** Programs of this machine for vassals: copied with the libraries that their distro lacks, of the same Debian. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';

const LIBRARY_PLACES = [
  'lib/x86_64-linux-gnu',
  'usr/lib/x86_64-linux-gnu',
  'lib64',
  'lib',
  'usr/lib',
];

/** Which of vim's there is. */
export const VIM = existsSync('/usr/bin/vim.tiny') ? '/usr/bin/vim.tiny' : '/usr/bin/vim';

/** Copies `programs` to DIRECTORY/bin and what they need to DIRECTORY/lib, which goes into LD_LIBRARY_PATH. */
export function copyPrograms(
  directory: string,
  { programs, distro }: { readonly programs: readonly string[]; readonly distro: string },
): void {
  for (const place of ['bin', 'lib']) mkdirSync(join(directory, place), { recursive: true });
  for (const program of programs) {
    copyFileSync(program, join(directory, 'bin', basename(program)));
    for (const library of librariesOf(program)) {
      const name = basename(library);
      const isThere = LIBRARY_PLACES.some((place) => existsSync(join(distro, place, name)));
      if (!isThere) copyFileSync(library, join(directory, 'lib', name));
    }
  }
}

function librariesOf(program: string): readonly string[] {
  const text = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...text.matchAll(/=> (\/\S+)/g)].map(([, path = '']) => path);
}
