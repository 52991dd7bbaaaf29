/**
 * What a jail plan needs to know of a distro, looked at once for each state of its root directory, /etc and
 * /var. A tree that no jail can be made of is refused here, with the fix, before anything is started.
 */
import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { EmperorError, isErrno } from '../base/errors.ts';
import { type DistroReport, judgeRoot } from '../distro/inspect.ts';

export class DistroCache {
  readonly #known = new Map<
    string,
    { readonly signature: string; readonly report: DistroReport }
  >();

  /** Throws `bad-distro` naming the path and the fix. */
  of(root: string): DistroReport {
    const report = this.look(root);
    const problem = report.problems.find(({ severity }) => severity === 'error');
    if (!problem) return report;
    throw new EmperorError(
      'bad-distro',
      `Cannot use the distro ${root}: ${problem.message}; \`${problem.fix}\``,
    );
  }

  /** Returns what is there, good or bad. */
  look(root: string): DistroReport {
    const signature = ['', 'etc', 'var'].map((path) => signatureOf(join(root, path))).join(' ');
    const known = this.#known.get(root);
    if (known?.signature === signature) return known.report;
    const report = judgeRoot(root);
    this.#known.set(root, { signature, report });
    return report;
  }
}

function signatureOf(path: string): string {
  try {
    const { dev, ino, ctimeMs, uid, mode } = lstatSync(path);
    return [dev, ino, ctimeMs, uid, mode].join(':');
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return 'missing';
    throw error;
  }
}
