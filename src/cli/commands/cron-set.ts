/** `emperor cron set NAME`: puts a crontab from standard input into the customer's home, if all of it is understood. */
import { EmperorError } from '../../base/errors.ts';
import { type Crontab, parseCrontab } from '../../cron/crontab.ts';
import { diagnosticOf } from '../../cron/crontab-diagnostics.ts';
import { type Call, onlyWord } from '../call.ts';
import { writeCrontab } from '../cron/crontab-session.ts';
import { EXIT } from '../exit.ts';
import { print, printJson } from '../output.ts';
import { reach } from '../reach.ts';
import { readInput } from '../read-input.ts';
import { sayDiagnostics } from '../report.ts';

export async function run(call: Call): Promise<number> {
  const name = onlyWord(call);
  const text = await readInput();
  const { jobs, findings } = checkCrontab(name, text);
  await sayDiagnostics(findings.map((finding) => diagnosticOf('-', finding)));
  writeCrontab(await (await reach(call.globals)).execTarget(name), text);
  if (call.globals.json) printJson({ jobs: jobs.length });
  else print(`${jobs.length} ${jobs.length === 1 ? 'job' : 'jobs'}\n`);
  return EXIT.done;
}

/** Throws `bad-config` with all that is wrong. Pure. */
export function checkCrontab(name: string, text: string): Crontab {
  const crontab = parseCrontab(text);
  if (!crontab.findings.some(({ severity }) => severity === 'error')) return crontab;
  const diagnostics = crontab.findings.map((finding) => diagnosticOf('-', finding));
  const message = `Cannot set the crontab of ${name}: it is not understood, so nothing was written`;
  throw new EmperorError('bad-config', message, { diagnostics });
}
