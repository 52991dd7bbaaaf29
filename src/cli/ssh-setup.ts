/**
 * What must be on the host so that a customer gets into one vassal by ssh: our login program, an account with it as
 * shell, its keys, and a block of sshd_config. Pure: a list of steps, as a script for reading or to be done by ssh.ts.
 */
import { usageError } from './call.ts';

export const LOGIN_PROGRAM = '/usr/local/lib/emperor/emperor-login';
/** Root's: keys, and the home of all such accounts, in which there is nothing of anybody's. */
export const KEYS_DIRECTORY = '/etc/ssh/emperor';
const SSHD_DIRECTORY = '/etc/ssh/sshd_config.d';

export interface SshSetup {
  readonly vassal: string;
  readonly account: string;
  /** Public keys, one a line, as `*.pub` has them. */
  readonly keys: readonly string[];
  /** The vassal's door. */
  readonly door: string;
  /** Where the C program was built. */
  readonly program: string;
  /** Addresses of the vassal to which `ssh -L` may lead; none: no forwarding at all. */
  readonly forwardTo: readonly string[];
}

export type SetupStep =
  | {
      readonly kind: 'directory';
      readonly path: string;
      /** Permissions; owner and group are root. */
      readonly mode: number;
    }
  | { readonly kind: 'copy'; readonly from: string; readonly to: string; readonly mode: number }
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly text: string;
    }
  /** Not done if there is such an account already, which must have `shell` then. */
  | {
      readonly kind: 'account';
      readonly name: string;
      readonly shell: string;
      readonly command: readonly string[];
    };

/** In this order; each can be done again. */
export function planSshSetup(setup: SshSetup): readonly SetupStep[] {
  const { vassal, account, keys, program } = setup;
  return [
    // Who cannot read a program cannot trace a process that runs it.
    { kind: 'copy', from: program, to: LOGIN_PROGRAM, mode: 0o711 },
    { kind: 'directory', path: KEYS_DIRECTORY, mode: 0o755 },
    // The host's message of the day and last login are no business of theirs.
    { kind: 'file', path: `${KEYS_DIRECTORY}/.hushlogin`, mode: 0o644, text: '' },
    { kind: 'file', path: keysOf(account), mode: 0o644, text: linesOf(keys) },
    {
      kind: 'account',
      name: account,
      shell: LOGIN_PROGRAM,
      command: [
        ...['useradd', '--no-create-home', '--home-dir', KEYS_DIRECTORY, '--shell', LOGIN_PROGRAM],
        // No password fits, and yet it is not locked, which would keep keys out as well.
        ...['--password', '*', '--comment', `ssh into vassal ${vassal}`, account],
      ],
    },
    { kind: 'file', path: snippetOf(account), mode: 0o644, text: renderSnippet(setup) },
  ];
}

/** Where sshd_config gets the block from. */
export function snippetOf(account: string): string {
  return `${SSHD_DIRECTORY}/emperor-${account}.conf`;
}

function keysOf(account: string): string {
  return `${KEYS_DIRECTORY}/${account}.keys`;
}

/**
 * The block of sshd_config(5). sshd itself is on the host, and so is whatever it forwards: everything of that kind is
 * closed by name, but for what `forwardTo` opens.
 */
export function renderSnippet({ vassal, account, door, forwardTo }: SshSetup): string {
  const isOpen = forwardTo.length > 0;
  return linesOf([
    `# ${account} gets into vassal ${vassal} and nowhere else; made by \`emperor ssh setup\`.`,
    `Match User ${account}`,
    ...[
      `ForceCommand door ${door}`,
      `AuthorizedKeysFile ${keysOf(account)}`,
      'AuthorizedKeysCommand none',
      'AuthenticationMethods publickey',
      'PubkeyAuthentication yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitTTY yes',
      'PermitUserRC no',
      'PermitTunnel no',
      'X11Forwarding no',
      'AllowAgentForwarding no',
      'AllowStreamLocalForwarding no',
      'PermitListen none',
      'GatewayPorts no',
      `AllowTcpForwarding ${isOpen ? 'local' : 'no'}`,
      `PermitOpen ${isOpen ? forwardTo.map(openTo).join(' ') : 'none'}`,
    ].map((line) => `    ${line}`),
    'Match all',
  ]);
}

function openTo(address: string): string {
  return address.includes(':') ? `[${address}]:*` : `${address}:*`;
}

const PUBLIC_KEY = /^(ssh-|ecdsa-sha2-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/]+=*( .*)?$/;

/** The keys in the text of a `*.pub` file. Throws `bad-usage` for a private key, options, or anything else. */
export function parseKeys(text: string, file: string): readonly string[] {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  if (lines.some((line) => line.includes('PRIVATE KEY'))) {
    throw usageError(`Cannot use ${file}: it is a private key; name the .pub file beside it`);
  }
  const strange = lines.find((line) => !PUBLIC_KEY.test(line));
  if (strange !== undefined || lines.length === 0) {
    const what = strange === undefined ? 'it is empty' : `${JSON.stringify(strange.slice(0, 40))}…`;
    throw usageError(
      `Cannot use ${file}: ${what}; it takes public keys without options, such as \`ssh-ed25519 AAAA… name\``,
    );
  }
  return lines;
}

/** The steps as a shell script, which does the same. */
export function renderScript(setup: SshSetup): string {
  return linesOf([
    `# A way into vassal ${setup.vassal} by ssh. \`emperor ssh setup … --write\` does all of this.`,
    'set -e',
    ...planSshSetup(setup).map(renderStep),
    'sshd -t && systemctl reload ssh',
    `# And in the vassal's file:  ssh-user = ${setup.account}`,
  ]);
}

function renderStep(step: SetupStep): string {
  switch (step.kind) {
    case 'directory':
      return `install -d -m ${octal(step.mode)} ${step.path}`;
    case 'copy':
      return `install -D -m ${octal(step.mode)} ${quoted(step.from)} ${step.to}`;
    case 'file':
      return `install -D -m ${octal(step.mode)} /dev/stdin ${step.path} <<'END'\n${step.text}END`;
    case 'account':
      return `id ${step.name} >/dev/null 2>&1 || ${step.command.map(quoted).join(' ')}`;
  }
}

function quoted(word: string): string {
  return /^[\w./:=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('');
}
