/** Whether a crontab may be written for a customer: only if every line is understood. Pure. */
import { type Diagnostic, EmperorError } from '../../base/errors.ts';
import { parseCrontab } from '../../cron/crontab.ts';
import { diagnosticOf } from '../../cron/crontab-diagnostics.ts';

export interface CheckedCrontab {
  readonly jobs: number;
  /** Warnings alone. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Throws `bad-config` with all that is wrong; `file` is where the findings say they are. */
export function checkCrontab(
  name: string,
  { file, text }: { readonly file: string; readonly text: string },
): CheckedCrontab {
  const { jobs, findings } = parseCrontab(text);
  const diagnostics = findings.map((finding) => diagnosticOf(file, finding));
  if (!diagnostics.some(({ severity }) => severity === 'error')) {
    return { jobs: jobs.length, diagnostics };
  }
  const message = `Cannot set the crontab of ${name}: it is not understood, so nothing was written`;
  throw new EmperorError('bad-config', message, { diagnostics });
}
