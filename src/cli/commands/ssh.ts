/** `emperor ssh setup`: prints, or does, what opens a vassal to a customer's ssh (ssh-setup.ts). */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { NATIVE } from '../../base/checkout.ts';
import { EmperorError, isErrno, messageOf } from '../../base/errors.ts';
import { runTool } from '../../base/run-tool.ts';
import { VASSAL_OPTIONS } from '../../config/options/vassal.ts';
import { doorOf } from '../../emperor/doors.ts';
import { lookupShell } from '../../linux/accounts.ts';
import { type Call, onlyWord, usageError } from '../call.ts';
import { EXIT } from '../exit.ts';
import { print, printJson, say } from '../output.ts';
import { reach } from '../reach.ts';
import {
  parseKeys,
  planSshSetup,
  renderScript,
  type SetupStep,
  type SshSetup,
  snippetOf,
} from '../ssh-setup.ts';

export async function run(call: Call): Promise<number> {
  const setup = await setupOf(call);
  if (call.options.flag('write')) return write(setup);
  if (call.globals.json) printJson(planSshSetup(setup));
  else print(renderScript(setup));
  return EXIT.done;
}

async function setupOf(call: Call): Promise<SshSetup> {
  const { options } = call;
  const vassal = onlyWord(call);
  const account = options.text('user') ?? vassal;
  checkAccount(account);
  const files = options.many('key');
  if (files.length === 0) throw usageError('Cannot let anybody in without a key: add --key FILE');
  const keys = files.flatMap((file) => parseKeys(readKeyFile(file), file));
  const client = await reach(call.globals);
  const [stats, status] = await Promise.all([client.stats(), client.status(vassal)]);
  const addresses = [status.address, status.address6].filter((one) => one !== null);
  if (options.flag('forward') && addresses.length === 0) {
    throw usageError(`Cannot open --forward to ${vassal}: it has no address`);
  }
  return {
    vassal,
    account,
    keys,
    door: doorOf(stats.runDir, vassal),
    program: join(NATIVE, 'emperor-init'),
    forwardTo: options.flag('forward') ? addresses : [],
  };
}

/** The same as the vassal's file takes, and a name: there is an account to be made. */
function checkAccount(account: string): void {
  const { kind } = VASSAL_OPTIONS.sshUser;
  const isName = !/^\d/.test(account) && !account.includes('.') && account.length <= 32;
  const none = () => undefined;
  const parsed = kind.parse(account, { directory: '/', lookupUser: none, lookupGroup: none });
  if (isName && 'value' in parsed) return;
  throw usageError(
    `Cannot make an account ${JSON.stringify(account)}: name one of a-z, 0-9, _ and - by --user`,
  );
}

function readKeyFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw usageError(`Cannot read the key ${file}: ${messageOf(error)}`);
  }
}

/** Does all of it; a configuration that sshd refuses, or does not read, is taken back. */
async function write(setup: SshSetup): Promise<number> {
  const steps = planSshSetup(setup);
  // Before anything is changed: an account that is there for something else stays what it is.
  for (const step of steps) if (step.kind === 'account') checkShell(step);
  try {
    for (const step of steps) await perform(step);
  } catch (error) {
    if (!isErrno(error, 'EACCES', 'EPERM')) throw error;
    const message = `Cannot write ${messageOf(error)}: only root can; use sudo`;
    throw new EmperorError('not-permitted', message, { cause: error });
  }
  await checkSshd(setup);
  say(`${setup.account} is there. What is left to do:`);
  say('  systemctl reload ssh');
  say(`  and a line \`ssh-user = ${setup.account}\` in the file of ${setup.vassal}`);
  return EXIT.done;
}

async function checkSshd(setup: SshSetup): Promise<void> {
  const snippet = snippetOf(setup.account);
  const trouble = await sshdTrouble(setup).catch(messageOf);
  if (trouble === null) return;
  rmSync(snippet, { force: true });
  throw new EmperorError('conflict', `Cannot keep ${snippet}: ${trouble}`);
}

/** Asks sshd what it would do for the account; null: what was written. Throws what sshd cannot read. */
async function sshdTrouble({ account, door }: SshSetup): Promise<string | null> {
  const who = `user=${account},host=localhost,addr=127.0.0.1`;
  const settings = await runTool(['sshd', '-T', '-C', who]);
  const command = /^forcecommand (.*)$/m.exec(settings)?.[1] ?? 'none';
  if (command === `door ${door}`) return null;
  const remedy = `have it \`Include ${dirname(snippetOf(account))}/*.conf\` first`;
  return `by /etc/ssh/sshd_config ${account} has the ForceCommand ${command}; ${remedy}`;
}

type AccountStep = Extract<SetupStep, { kind: 'account' }>;

function checkShell({ name, shell }: AccountStep): void {
  const found = lookupShell(name);
  if (found === undefined || found === shell) return;
  throw new EmperorError(
    'conflict',
    `Cannot use the account ${name}: it is there and has the shell ${found}; name another by --user`,
  );
}

async function perform(step: SetupStep): Promise<void> {
  switch (step.kind) {
    case 'directory':
      mkdirSync(step.path, { recursive: true });
      chmodSync(step.path, step.mode);
      return;
    case 'copy':
      return replace(step.to, step.mode, (fresh) => copyFileSync(step.from, fresh));
    case 'file':
      return replace(step.path, step.mode, (fresh) => writeFileSync(fresh, step.text));
    case 'account':
      if (lookupShell(step.name) === undefined) await runTool(step.command);
  }
}

/** Whole or not at all, and so that a program that runs can be replaced. */
function replace(path: string, mode: number, make: (fresh: string) => void): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const fresh = join(dirname(path), `.${process.pid}.new`);
  if (existsSync(fresh)) rmSync(fresh);
  make(fresh);
  chmodSync(fresh, mode);
  renameSync(fresh, path);
}
