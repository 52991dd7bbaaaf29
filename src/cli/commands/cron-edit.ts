/** `emperor cron edit NAME`: a customer's crontab in the operator's editor, written back if all of it is understood. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnvironment } from '../../base/environment.ts';
import { EmperorError } from '../../base/errors.ts';
import type { ExecTarget } from '../../emperor/governor.ts';
import { type Call, onlyWord } from '../call.ts';
import { checkCrontab } from '../cron/check-crontab.ts';
import { readCrontab, writeCrontab } from '../cron/crontab-session.ts';
import { EXIT } from '../exit.ts';
import { say } from '../output.ts';
import { reach } from '../reach.ts';
import { sayDiagnostics } from '../report.ts';

export async function run(call: Call): Promise<number> {
  const name = onlyWord(call);
  const target = await (await reach(call.globals)).execTarget(name);
  const before = readCrontab(target);
  const directory = mkdtempSync(join(tmpdir(), 'emperor-crontab-'));
  const file = join(directory, 'crontab');
  writeFileSync(file, before, { mode: 0o600 });
  try {
    openEditor(file);
    const after = readFileSync(file, 'utf8');
    if (after === before) say('emperor: nothing was changed');
    else await write(target, { name, file, text: after });
  } catch (error) {
    say(`emperor: the edited text is kept in ${file}`);
    throw error;
  }
  rmSync(directory, { recursive: true });
  return EXIT.done;
}

async function write(
  target: ExecTarget,
  { name, file, text }: { readonly name: string; readonly file: string; readonly text: string },
): Promise<void> {
  await sayDiagnostics(checkCrontab(name, { file, text }).diagnostics);
  writeCrontab(target, text);
}

function openEditor(file: string): void {
  const editor = readEnvironment('VISUAL') ?? readEnvironment('EDITOR') ?? 'editor';
  // As git and crontab have it, an editor may have arguments.
  const { status } = spawnSync('/bin/sh', ['-c', `${editor} "$1"`, 'sh', file], {
    stdio: 'inherit',
  });
  if (status === 0) return;
  throw new EmperorError('exec-failed', `Cannot edit the crontab: ${editor} failed`);
}
