/**
 * The one table of what the emperor's own section can say; types, validation and documentation follow from
 * it. What a class or a default for vassals can say stands in options/vassal.ts.
 */
import { LOG_LEVELS } from '../../base/log.ts';
import { group, nameServers, namespaces, users } from '../kinds/lists.ts';
import { duration, integer, MAX_ID, octalMode, range } from '../kinds/numbers.ts';
import { hostPath } from '../kinds/paths.ts';
import { choice, name } from '../kinds/text.ts';
import type { EmperorReload, FieldsOf, Option } from './option.ts';
import { RUN_DIRECTORY } from './run-directory.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Below it, Debian keeps uids for system users and people. */
const FIRST_FREE_UID = 1000;

const path = { kind: hostPath, reload: 'restart', trust: 'operator', many: false } as const;

export const EMPEROR_OPTIONS = {
  vassalDirectories: {
    ...path,
    name: 'emperor',
    aliases: ['vassals'],
    default: null,
    otherwise: 'required',
    summary: 'A directory of vassal files.',
    example: '/etc/emperor/vassals',
    many: true,
    required: true,
    reload: 'live',
    identify: (directory: string) => directory,
  },
  distrosDirectory: {
    ...path,
    name: 'distros',
    default: '/distros',
    summary: 'The directory of root file systems, one directory each.',
    example: '/srv/distros',
  },
  defaultDistro: {
    name: 'distro',
    kind: name,
    default: null,
    otherwise: 'the only one in `distros`, if it is the only one',
    summary: 'The distro of vassals that name none.',
    example: 'bookworm',
    reload: 'live',
    trust: 'operator',
    many: false,
  },
  homesDirectory: {
    ...path,
    name: 'homes',
    default: '/srv/vassals',
    summary: 'The directory of the homes of vassals that name none.',
    example: '/home/vassals',
  },
  runDirectory: {
    ...path,
    ...RUN_DIRECTORY,
    summary: 'The directory of sockets; one emperor each.',
    example: '/run/emperor-test',
  },
  stateDirectory: {
    ...path,
    name: 'state-dir',
    default: '/var/lib/emperor',
    summary: 'The directory of what must survive a reboot, such as who has which uid.',
    example: '/srv/emperor/state',
  },
  logDirectory: {
    ...path,
    name: 'log-dir',
    default: '/var/log/emperor',
    summary: 'The directory of logs, one directory for each vassal.',
    example: '/srv/emperor/log',
  },
  optDirectory: {
    ...path,
    name: 'opt',
    default: null,
    otherwise: 'none',
    summary: 'A directory of the host that all vassals see as /opt, read-only.',
    example: '/srv/opt',
    reload: 'live',
  },
  namespaces: {
    name: 'emperor-use-clone',
    aliases: ['emperor-user-clone'],
    kind: namespaces,
    default: 'fs,ipc,uts,net,pid',
    summary: 'The kernel namespaces that each vassal has of its own.',
    example: 'fs,ipc,uts,net,pid,cgroup',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
  trustedUsers: {
    name: 'trusted-owners',
    kind: users,
    default: null,
    otherwise: "root and emperor.ini's owner; they are always trusted",
    summary: 'Users whose vassal files may use every key, such as the control panel.',
    example: 'root daemon',
    reload: 'live',
    trust: 'operator',
    many: false,
  },
  socketGroup: {
    name: 'socket-group',
    kind: group,
    default: null,
    otherwise: 'root',
    summary: "The group of the emperor's socket.",
    example: 'adm',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
  socketMode: {
    name: 'socket-mode',
    kind: octalMode,
    default: '0600',
    summary: "The permissions of the emperor's socket; who can write to it governs.",
    example: '0660',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
  uidRange: {
    name: 'uid-range',
    kind: range({ min: FIRST_FREE_UID, max: MAX_ID }),
    default: '200000-265535',
    summary: 'The uids that vassals are given, one each.',
    example: '300000-365535',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
  settleMs: {
    name: 'settle-ms',
    kind: integer({ min: 0, max: 60_000 }),
    default: '10',
    summary:
      'How many milliseconds a file must rest where no lease proves that its writer is done.',
    example: '50',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
  startLimit: {
    name: 'start-limit',
    kind: integer({ min: 1, max: 1024 }),
    default: null,
    otherwise: 'by the number of cores',
    summary: 'How many vassals are being started at the same time.',
    example: '16',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
  hookTimeoutMs: {
    name: 'hook-timeout',
    kind: duration({ min: 1, max: HOUR_MS }),
    default: '30s',
    summary: 'How long a hook may run before the start counts as failed.',
    example: '1m30s',
    reload: 'live',
    trust: 'operator',
    many: false,
  },
  dns: {
    name: 'dns',
    kind: nameServers,
    default: null,
    otherwise: "the host's",
    summary: 'The name servers of vassals that name none, all on one line.',
    example: '9.9.9.9 149.112.112.112',
    reload: 'live',
    trust: 'operator',
    many: false,
  },
  throttleMs: {
    name: 'emperor-throttle',
    kind: integer({ min: 1, max: HOUR_MS }),
    default: '500',
    summary: 'How many milliseconds a vassal waits after its first failure; the wait then doubles.',
    example: '1000',
    reload: 'live',
    trust: 'operator',
    many: false,
  },
  maxThrottleMs: {
    name: 'emperor-max-throttle',
    kind: integer({ min: 1, max: DAY_MS }),
    default: '180000',
    summary: 'How many milliseconds a failing vassal waits at most.',
    example: '60000',
    reload: 'live',
    trust: 'operator',
    many: false,
  },
  logLevel: {
    name: 'log-level',
    kind: choice(LOG_LEVELS),
    default: 'info',
    summary: 'The least urgent messages that the emperor logs.',
    example: 'debug',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
  cgroupParent: {
    name: 'cgroup-parent',
    kind: name,
    default: null,
    otherwise: '`emperor`, and with another `run-dir` a name of its own',
    summary: 'The cgroup below which every vassal has one of its own.',
    example: 'hosting',
    reload: 'restart',
    trust: 'operator',
    many: false,
  },
} as const satisfies Readonly<Record<string, Option & { readonly reload: EmperorReload }>>;

export type EmperorFields = FieldsOf<typeof EMPEROR_OPTIONS>;
