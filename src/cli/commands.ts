/**
 * The one table of commands: names, words, options, help. Each module is loaded when its command is called,
 * so that `emperor ls` need not load what `emperor run` needs.
 */
import type { CommandModule } from './call.ts';

export interface OptionSpec {
  /** As commander writes them: `-n, --lines <count>`. */
  readonly flags: string;
  readonly summary: string;
  /** May be given more than once. */
  readonly many?: true;
}

export interface CommandSpec {
  readonly name: string;
  /** As commander writes them: `<name>`, `[files...]`. */
  readonly words?: string;
  readonly summary: string;
  readonly details?: string;
  readonly example: string;
  readonly options?: readonly OptionSpec[];
  /** Everything behind the first word is somebody else's command line. */
  readonly passesThrough?: true;
  /** Words such as `-5` are no options. */
  readonly takesNegative?: true;
  readonly load?: () => Promise<CommandModule>;
  readonly commands?: readonly CommandSpec[];
}

const loadAct = () => import('./commands/act.ts');
const loadDistro = () => import('./commands/distro.ts');

export const COMMANDS: readonly CommandSpec[] = [
  {
    name: 'run',
    summary:
      'Governs in the foreground, until SIGTERM (vassals keep running) or Ctrl-C (all stop).',
    example: 'emperor run --ini /etc/emperor/emperor.ini',
    options: [
      { flags: '--set <key=value>', summary: 'set a key of emperor.ini for this run', many: true },
    ],
    load: () => import('./commands/run.ts'),
  },
  {
    name: 'shutdown',
    summary: 'Ends the emperor; vassals keep running.',
    example: 'emperor shutdown --stop-vassals',
    options: [{ flags: '--stop-vassals', summary: 'end every vassal and the launcher too' }],
    load: () => import('./commands/shutdown.ts'),
  },
  {
    name: 'ls',
    summary: 'Lists all vassals.',
    example: 'emperor ls --json',
    load: () => import('./commands/ls.ts'),
  },
  {
    name: 'status',
    words: '<name>',
    summary: 'Shows one vassal. Exits with 0 if it runs, 3 if not, 4 if there is none.',
    example: 'emperor status blog',
    load: () => import('./commands/status.ts'),
  },
  {
    name: 'check',
    words: '[files...]',
    summary: 'Validates emperor.ini and vassal files, without a running emperor.',
    details: 'Without FILES: emperor.ini and every vassal file of its directories.',
    example: 'emperor check --ini emperor.ini vassals/blog.ini',
    load: () => import('./commands/check.ts'),
  },
  {
    name: 'plan',
    words: '[files...]',
    summary: 'Shows what would change, and what it costs: live, process or jail.',
    details: 'With FILES: as if they were put into place.',
    example: 'emperor plan /tmp/blog.ini',
    options: [{ flags: '--jail <name>', summary: 'the steps that make the jail of one vassal' }],
    load: () => import('./commands/plan.ts'),
  },
  {
    name: 'cat',
    words: '<name>',
    summary: "Prints a vassal's file.",
    example: 'emperor cat blog --resolved',
    options: [{ flags: '--resolved', summary: 'every key with its value and where it comes from' }],
    load: () => import('./commands/cat.ts'),
  },
  {
    name: 'start',
    words: '<names...>',
    summary: 'Starts vassals that were stopped, or that wait after a failure.',
    example: 'emperor start blog shop',
    load: loadAct,
  },
  {
    name: 'stop',
    words: '<names...>',
    summary: 'Stops vassals, until `start` or a change of their files.',
    example: 'emperor stop blog',
    load: loadAct,
  },
  {
    name: 'restart',
    words: '<names...>',
    summary: 'Stops and starts vassals; clears what holds them back.',
    example: 'emperor restart blog',
    load: loadAct,
  },
  {
    name: 'reload',
    words: '<names...>',
    summary:
      'Reads the files again and applies the smallest change; without one, reloads the command.',
    example: 'emperor reload blog',
    load: loadAct,
  },
  {
    name: 'freeze',
    words: '<names...>',
    summary: 'Halts every process of vassals where it is.',
    example: 'emperor freeze blog',
    load: loadAct,
  },
  {
    name: 'thaw',
    words: '<names...>',
    summary: 'Lets frozen vassals go on.',
    example: 'emperor thaw blog',
    load: loadAct,
  },
  {
    name: 'purge',
    words: '<name>',
    summary:
      'Forgets a vassal that has no file: its home, logs, uid, addresses and totals, for good.',
    example: 'emperor purge blog --yes',
    options: [{ flags: '-y, --yes', summary: 'do not ask' }],
    load: () => import('./commands/purge.ts'),
  },
  {
    name: 'logs',
    words: '<name>',
    summary: "Prints what a vassal's processes wrote; works without a running emperor.",
    details: 'Control characters are shown as \\x1b; --raw prints the texts as they are.',
    example: 'emperor logs blog -f -n 20',
    options: [
      { flags: '-f, --follow', summary: 'go on with new lines (begins with the last 10)' },
      { flags: '-n, --lines <count>', summary: 'the last lines only' },
      { flags: '--label <label>', summary: 'lines of one process only' },
      { flags: '--raw', summary: 'the texts alone, byte by byte' },
    ],
    load: () => import('./commands/logs.ts'),
  },
  {
    name: 'exec',
    words: '<name> [words...]',
    summary: 'Runs a command inside a vassal; input, output and errors are kept apart.',
    details:
      "Exits with the command's own status; 125: ours, 126: cannot execute, 127: not found, 128+n: signal.",
    example: 'emperor exec blog -- ps aux',
    options: [{ flags: '-t, --tty', summary: 'give it a terminal; may stand behind NAME too' }],
    passesThrough: true,
    load: () => import('./commands/exec.ts'),
  },
  {
    name: 'shell',
    words: '<name>',
    summary: 'Opens a login shell inside a vassal, on a new terminal of its own.',
    details: "Exits with the shell's own status; 125: ours.",
    example: 'emperor shell blog',
    load: () => import('./commands/shell.ts'),
  },
  {
    name: 'wait',
    words: '<name>',
    summary: 'Waits until one of the conditions holds.',
    details: 'Exits with 0, with 1 if the file is refused (and why), with 124 after the timeout.',
    example: 'emperor wait blog --for applied --timeout 10s',
    options: [
      {
        flags: '--for <conditions>',
        summary: 'running, ready, stopped, gone, applied or applied=SHA256; several with commas',
      },
      { flags: '--timeout <duration>', summary: 'how long to wait (default: 30s)' },
    ],
    load: () => import('./commands/wait.ts'),
  },
  {
    name: 'events',
    summary: 'Prints what happened, one event a line.',
    example: 'emperor events -f --since 10m --json',
    options: [
      { flags: '-f, --follow', summary: 'go on with new events (only them, without --since)' },
      { flags: '--since <time>', summary: 'from that time on: ISO 8601, or a duration ago' },
    ],
    load: () => import('./commands/events.ts'),
  },
  {
    name: 'net',
    words: '[name]',
    summary: 'Shows the network, and who moves most in it; or the network of one vassal.',
    details: 'Totals survive restarts; `emperor purge` ends them.',
    example: 'emperor net --rates --top 5',
    options: [
      { flags: '--top <count>', summary: 'how many vassals to show (default: 10)' },
      { flags: '--rates', summary: 'measure for a second, the fastest first' },
    ],
    load: () => import('./commands/net.ts'),
  },
  {
    name: 'firewall',
    summary: 'Asks the live firewall.',
    example: 'emperor firewall check blog 192.168.0.1',
    commands: [
      {
        name: 'check',
        words: '<words...>',
        summary: 'Says whether a packet may pass, and which rule decides: [in|out] SRC DST.',
        details:
          'SRC and DST are addresses or names of vassals. Without a chain: all that the packet passes. Exits with 0 if it is\nallowed, 1 if not. `-` reads such lines from stdin, and answers each by a line that begins with `allow`, `deny` or\n`error:`; then it exits with 1 only if there was an error.',
        example: 'emperor firewall check out blog 10.0.0.1',
        load: () => import('./commands/firewall.ts'),
      },
    ],
  },
  {
    name: 'cron',
    summary: 'Shows which jobs run when, and sets crontabs.',
    example: "emperor cron next '*/5 9-17 * * mon-fri'",
    commands: [
      {
        name: 'ls',
        words: '[name]',
        summary: 'Lists jobs with their last and their next run.',
        example: 'emperor cron ls blog',
        load: () => import('./commands/cron-ls.ts'),
      },
      {
        name: 'set',
        words: '<name>',
        summary: "Puts a crontab from standard input into a customer's home.",
        details:
          'It is written by the user of the vassal, and only if every line is understood; its jobs are known\n' +
          'within a second. The vassal must run.',
        example: 'emperor cron set blog',
        load: () => import('./commands/cron-set.ts'),
      },
      {
        name: 'edit',
        words: '<name>',
        summary: "Opens a customer's crontab in your editor, and sets it.",
        details:
          'VISUAL or EDITOR names the editor. What is not understood is kept in a file and not set.',
        example: 'emperor cron edit blog',
        load: () => import('./commands/cron-edit.ts'),
      },
      {
        name: 'next',
        words: '<expr...>',
        summary: 'Prints when a schedule comes next; works without a running emperor.',
        details:
          'EXPR is of five fields, or a word such as @daily; CRON_TZ=ZONE may stand before it.\n' +
          'With - lines FROM<TAB>ZONE<TAB>EXPR are read from standard input; each is answered with the next\n' +
          'time, never, or error: and what is wrong.',
        example: "emperor cron next '30 2 * * *' -n 3 --from 2026-03-28 --tz Europe/Berlin",
        options: [
          { flags: '-n, --number <count>', summary: 'how many times (default: 1)' },
          { flags: '--from <time>', summary: 'after that moment, ISO 8601 (default: now)' },
          { flags: '--tz <zone>', summary: "the time zone (default: this machine's)" },
        ],
        takesNegative: true,
        load: () => import('./commands/cron-next.ts'),
      },
    ],
  },
  {
    name: 'distro',
    summary: 'Builds, lists, checks and removes distros.',
    example: 'emperor distro add bookworm',
    commands: [
      {
        name: 'ls',
        summary: 'Lists the distros and the vassals that use them.',
        example: 'emperor distro ls',
        load: loadDistro,
      },
      {
        name: 'add',
        words: '<name>',
        summary: 'Builds a distro by mmdebstrap or debootstrap.',
        example: 'emperor distro add web --suite bookworm --include nginx,php-fpm',
        options: [
          {
            flags: '--suite <name>',
            summary: 'code name of the Debian release (default: by NAME)',
          },
          { flags: '--include <packages>', summary: 'packages besides the minimum, with commas' },
          { flags: '--tool <tool>', summary: 'mmdebstrap or debootstrap' },
        ],
        load: loadDistro,
      },
      {
        name: 'rm',
        words: '<name>',
        summary: 'Removes a distro that no vassal uses.',
        example: 'emperor distro rm old',
        load: loadDistro,
      },
      {
        name: 'verify',
        words: '<name>',
        summary: 'Looks through a distro for what makes it unusable or unsafe.',
        example: 'emperor distro verify bookworm',
        load: loadDistro,
      },
    ],
  },
  {
    name: 'ssh',
    summary: 'Lets customers into their vassals by ssh.',
    example: 'emperor ssh setup blog --key blog.pub',
    commands: [
      {
        name: 'setup',
        words: '<name>',
        summary: 'Prints what gives the owner of a key a way into one vassal by ssh.',
        details: 'Besides, the vassal needs `ssh-user = ACCOUNT` in its file.',
        example: 'emperor ssh setup blog --key blog.pub --write',
        options: [
          { flags: '--key <file>', summary: 'public keys, one a line', many: true },
          { flags: '--user <account>', summary: 'the account on the host (default: NAME)' },
          { flags: '--forward', summary: "let `ssh -L` reach the vassal's own address" },
          { flags: '--write', summary: 'do it: account, keys, sshd_config.d, login program' },
        ],
        load: () => import('./commands/ssh.ts'),
      },
    ],
  },
  {
    name: 'doctor',
    summary: 'Says what this machine can and cannot do, with the fix.',
    example: 'sudo emperor doctor --ini emperor.ini',
    load: () => import('./commands/doctor.ts'),
  },
  {
    name: 'schema',
    summary: 'Prints the JSON schema of a vassal file.',
    example: 'emperor schema > vassal.schema.json',
    load: () => import('./commands/schema.ts'),
  },
  {
    name: 'stats',
    summary: 'Prints the figures of the emperor.',
    example: 'emperor stats --json',
    load: () => import('./commands/stats.ts'),
  },
];
