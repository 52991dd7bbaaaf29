/** `emperor cron set NAME`: puts a crontab from standard input into the customer's home, if all of it is understood. */
import { type Call, onlyWord } from '../call.ts';
import { checkCrontab } from '../cron/check-crontab.ts';
import { writeCrontab } from '../cron/crontab-session.ts';
import { EXIT } from '../exit.ts';
import { print, printJson } from '../output.ts';
import { reach } from '../reach.ts';
import { readInput } from '../read-input.ts';
import { sayDiagnostics } from '../report.ts';

export async function run(call: Call): Promise<number> {
  const name = onlyWord(call);
  const text = await readInput();
  const { jobs, diagnostics } = checkCrontab(name, { file: '-', text });
  await sayDiagnostics(diagnostics);
  writeCrontab(await (await reach(call.globals)).execTarget(name), text);
  if (call.globals.json) printJson({ jobs });
  else print(`${jobs} ${jobs === 1 ? 'job' : 'jobs'}\n`);
  return EXIT.done;
}
