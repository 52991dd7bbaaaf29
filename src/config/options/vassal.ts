/**
 * The one table of what a vassal file can say. Types, validation, schema, documentation and the cost of a
 * change follow from it; the left names are the fields of VassalConfig.
 */
import { nameServers } from '../kinds/lists.ts';
import { duration, integer, MAX_ID, signal, size } from '../kinds/numbers.ts';
import { type Bind, bind, hostPath, innerPath } from '../kinds/paths.ts';
import { choice, type EnvPair, envPair, hostname, name, text } from '../kinds/text.ts';
import { commandWords } from '../kinds/words.ts';
import type { FieldsOf, Option, VassalReload } from './option.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const TIB = 1024 * 1024 * MIB;
const HOUR_MS = 3_600_000;

/** Tenants are never root. */
const id = integer({ min: 1, max: MAX_ID });

export const VASSAL_OPTIONS = {
  command: {
    name: 'command',
    kind: commandWords,
    default: null,
    otherwise: 'none: the vassal is idle',
    summary: 'The program to run, split into words as a shell does it, but without a shell.',
    example: 'python3 -m http.server 8080',
    reload: 'process',
    trust: 'tenant',
    many: false,
  },
  restart: {
    name: 'restart',
    kind: choice(['always', 'on-failure', 'never']),
    default: 'always',
    summary: 'When the command is started again after it ended.',
    example: 'on-failure',
    reload: 'live',
    trust: 'tenant',
    many: false,
  },
  chdir: {
    name: 'chdir',
    kind: innerPath,
    default: null,
    otherwise: 'the home',
    summary: 'The working directory of everything that runs in the vassal, relative to its home.',
    example: 'app/current',
    reload: 'process',
    trust: 'tenant',
    many: false,
  },
  env: {
    name: 'env',
    kind: envPair,
    default: null,
    otherwise: 'none',
    summary: 'One variable of the environment of everything that runs in the vassal.',
    example: 'DATABASE=postgres://localhost/blog',
    reload: 'process',
    trust: 'tenant',
    many: true,
    identify: ([variable]: EnvPair) => variable,
  },
  distro: {
    name: 'distro',
    kind: name,
    default: null,
    otherwise: "the emperor's `distro`",
    summary: "The root file system, a directory in the emperor's `distros`.",
    example: 'bookworm',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  hostname: {
    name: 'hostname',
    kind: hostname,
    default: '%n',
    summary: 'The host name inside.',
    example: 'www.example.org',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  uid: {
    name: 'uid',
    kind: id,
    default: null,
    otherwise: "one of its own, out of the emperor's `uid-range`",
    summary: 'The uid that everything in the vassal runs with, never 0.',
    example: '30001',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  gid: {
    name: 'gid',
    kind: id,
    default: null,
    otherwise: 'the number of the uid',
    summary: 'The gid that everything in the vassal runs with, never 0.',
    example: '30001',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  home: {
    name: 'home',
    kind: hostPath,
    default: null,
    otherwise: "the vassal's name in the emperor's `homes`",
    summary: 'The directory of the host that is mounted as its home.',
    example: '/srv/vassals/blog',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  binds: {
    name: 'bind',
    kind: bind,
    default: null,
    otherwise: 'none',
    summary:
      'A file or directory of the host that is mounted inside, read-only unless `rw` follows.',
    example: '/srv/media /srv/media rw',
    reload: 'jail',
    trust: 'operator',
    many: true,
    identify: ({ target }: Bind) => target,
  },
  tmpSizeBytes: {
    name: 'tmp-size',
    kind: size({ min: 64 * KIB, max: TIB }),
    default: '64M',
    summary: 'How much /tmp can hold, and /var/tmp as much again; it is memory.',
    example: '256M',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  runSizeBytes: {
    name: 'run-size',
    kind: size({ min: 64 * KIB, max: TIB }),
    default: '16M',
    summary: 'How much /run can hold; it is memory.',
    example: '32M',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  execAsRoot: {
    name: 'exec-as-root',
    kind: text,
    default: null,
    otherwise: 'none',
    summary:
      "A shell command that the host's root runs in the new namespaces before the tenant gets in.",
    example: 'ifconfig lo up',
    reload: 'jail',
    trust: 'operator',
    many: true,
  },
  dns: {
    name: 'dns',
    kind: nameServers,
    default: null,
    otherwise: "the emperor's `dns`",
    summary: 'The name servers of the vassal, all on one line.',
    example: '9.9.9.9 2620:fe::fe',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  stopSignal: {
    name: 'stop-signal',
    kind: signal,
    default: 'SIGTERM',
    summary: 'The signal that asks the command to end.',
    example: 'SIGQUIT',
    reload: 'live',
    trust: 'tenant',
    many: false,
  },
  stopGraceMs: {
    name: 'stop-grace',
    kind: duration({ min: 0, max: HOUR_MS }),
    default: '10s',
    summary: 'How long the command may take to end before it is killed.',
    example: '30s',
    reload: 'live',
    trust: 'tenant',
    many: false,
  },
  reloadSignal: {
    name: 'reload-signal',
    kind: signal,
    default: null,
    otherwise: 'none: the command is restarted',
    summary: 'The signal that `emperor reload` sends the command in place of a restart.',
    example: 'SIGHUP',
    reload: 'live',
    trust: 'tenant',
    many: false,
  },
  logMaxBytes: {
    name: 'log-max-size',
    kind: size({ min: 64 * KIB, max: TIB }),
    default: '10M',
    summary: 'How large a log file grows before the next one is begun.',
    example: '50M',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  logFiles: {
    name: 'log-files',
    kind: integer({ min: 1, max: 100 }),
    default: '5',
    summary: 'How many log files are kept, the current one among them.',
    example: '10',
    reload: 'jail',
    trust: 'operator',
    many: false,
  },
  className: {
    name: 'class',
    kind: name,
    default: null,
    otherwise: 'none',
    summary: 'The `[class NAME]` of emperor.ini that gives values to keys left out here.',
    example: 'small',
    reload: 'live',
    trust: 'operator',
    many: false,
  },
} as const satisfies Readonly<Record<string, Option & { readonly reload: VassalReload }>>;

export type VassalFields = FieldsOf<typeof VASSAL_OPTIONS>;

/** What a vassal takes from the emperor alone: field → its key there, and what a change costs. */
export const INHERITED = {
  opt: { name: 'opt', reload: 'jail' },
} as const satisfies Readonly<Record<string, Pick<Option, 'name'> & { reload: VassalReload }>>;
