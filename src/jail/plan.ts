/**
 * The jail plan: a resolved vassal as a list of steps, pure data. The C program executes them in this
 * order (native/steps.c); `emperor plan --jail NAME` prints them.
 */
import { dirname } from 'node:path';
import { CRONTAB_SHIM, TOOLS_PATH } from './crontab-shim.ts';
import type { NamespaceName } from './wire.ts';

export type MountFlag = 'ro' | 'nosuid' | 'nodev' | 'noexec';

export type Step =
  | { readonly op: 'lock'; readonly source: string }
  | {
      readonly op: 'cgroup';
      readonly init: string;
      readonly payload: string;
      readonly uid: number;
      readonly gid: number;
    }
  | { readonly op: 'join'; readonly source: string }
  | {
      readonly op: 'log';
      readonly source: string;
      readonly uid: number;
      readonly gid: number;
      readonly maxBytes: number;
      readonly files: number;
    }
  | { readonly op: 'listen'; readonly source: string }
  | { readonly op: 'private' }
  | { readonly op: 'root'; readonly source: string }
  | {
      readonly op: 'proc';
      readonly target: string;
      /** Others' processes; where init is among them nobody could see it. */
      readonly hidesOthers: boolean;
    }
  | {
      readonly op: 'tmpfs';
      readonly target: string;
      readonly sizeBytes: number;
      readonly inodes: number;
      readonly mode: number;
      readonly flags: readonly MountFlag[];
    }
  | { readonly op: 'devpts'; readonly target: string; readonly max: number }
  | { readonly op: 'mqueue'; readonly target: string }
  | {
      readonly op: 'device';
      readonly target: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    }
  | { readonly op: 'directory'; readonly target: string; readonly mode: number }
  | {
      readonly op: 'file';
      readonly target: string;
      readonly mode: number;
      readonly content: string;
    }
  | { readonly op: 'symlink'; readonly target: string; readonly text: string }
  | {
      readonly op: 'bind';
      readonly source: string;
      readonly target: string;
      readonly flags: readonly MountFlag[];
    }
  | {
      readonly op: 'bind-inside';
      readonly source: string;
      readonly target: string;
      readonly flags: readonly MountFlag[];
    }
  | { readonly op: 'mask'; readonly target: string }
  | { readonly op: 'read-only'; readonly target: string }
  | { readonly op: 'hostname'; readonly text: string }
  | { readonly op: 'sysctl'; readonly target: string; readonly text: string }
  | { readonly op: 'loopback' }
  | { readonly op: 'home'; readonly source: string; readonly uid: number; readonly gid: number }
  | {
      readonly op: 'image';
      readonly source: string;
      readonly target: string;
      readonly uid: number;
      readonly gid: number;
    }
  | { readonly op: 'hook'; readonly command: string; readonly timeoutMs: number }
  | { readonly op: 'sweep' }
  | { readonly op: 'gate'; readonly timeoutMs: number }
  | { readonly op: 'pivot' }
  | {
      readonly op: 'rlimit';
      readonly resource: number;
      readonly soft: number;
      readonly hard: number;
    }
  | { readonly op: 'merge' }
  | { readonly op: 'drop'; readonly uid: number; readonly gid: number }
  | { readonly op: 'seccomp'; readonly filter: Uint8Array }
  | {
      readonly op: 'tun';
      readonly target: string;
      readonly mtu: number;
      readonly queuePackets: number;
    }
  | {
      readonly op: 'address';
      readonly target: string;
      /** With prefix; null: what hooks set. */
      readonly address: string | null;
      readonly gateway: string | null;
      readonly address6: string | null;
      readonly gateway6: string | null;
      readonly exact: readonly AddressName[];
    };

/** As the options are called. */
export type AddressName = 'address' | 'address6';

export interface JailPlan {
  readonly name: string;
  /** Counts applied changes; what init's HELLO reports. */
  readonly generation: number;
  /** Of the resolved configuration; what init's HELLO reports. */
  readonly hash: string;
  readonly namespaces: readonly NamespaceName[];
  readonly steps: readonly Step[];
}

/** What a vassal's interface gets of one family unless hooks set it. */
export interface InterfaceAddress {
  /** With prefix, `192.168.0.2/24`; null: hooks set it, or there is none. */
  readonly address: string | null;
  /** The vassal's own file says so: hooks that set another contradict it, and the launch fails. */
  readonly isExact: boolean;
  /** Where the default route leads if hooks set none; null: they do, or there is none. */
  readonly gateway: string | null;
}

/** How a vassal is attached to the router: by one tun, whose descriptor init hands out (FETCH). */
export interface JailNetwork {
  /** Name of the tun inside, such as `uwsgi0`; 15 bytes at most. */
  readonly interface: string;
  readonly mtu: number;
  /** How many packets wait for the router; those that come then are dropped. */
  readonly queuePackets: number;
  readonly ipv4: InterfaceAddress;
  readonly ipv6: InterfaceAddress;
}

/** What planJail() needs to know; everything is decided already, paths are absolute. */
export interface JailSpec {
  readonly name: string;
  readonly generation: number;
  readonly hash: string;
  readonly namespaces: readonly NamespaceName[];
  readonly uid: number;
  readonly gid: number;
  readonly hostname: string;
  /** Root directory of the distro. */
  readonly distro: string;
  /** Which of ETC_FILES the distro has; only a file that is there can be covered. */
  readonly etcFiles: readonly EtcFile[];
  /** Absolute path of the login shell inside. */
  readonly shell: string;
  readonly home: string;
  /** The file that the home lies in; null: its directory is the home. Needs a mount namespace. */
  readonly homeImage: string | null;
  readonly opt: string | null;
  readonly binds: readonly {
    readonly source: string;
    readonly target: string;
    readonly readOnly: boolean;
  }[];
  /** run-dir/vassals/NAME and log-dir/NAME. */
  readonly runDirectory: string;
  readonly logDirectory: string;
  readonly logMaxBytes: number;
  readonly logFiles: number;
  readonly cgroups: {
    readonly initJoin: string;
    readonly payloadJoin: string;
    readonly joins: readonly string[];
    /** What its tenant is shown of its own cgroups, at /sys/fs/cgroup or directories in it. */
    readonly views: readonly { readonly source: string; readonly target: string }[];
  };
  readonly tmpSizeBytes: number;
  readonly runSizeBytes: number;
  readonly dns: readonly string[];
  /** null: lo alone. Ignored without a network namespace. */
  readonly network: JailNetwork | null;
  readonly hooks: readonly string[];
  readonly hookTimeoutMs: number;
  /** The kernel may keep memory once that it has in common with others. */
  readonly ksm: boolean;
  readonly seccompFilter: Uint8Array;
}

export const ETC_FILES = ['hosts', 'hostname', 'resolv.conf', 'passwd', 'group'] as const;
export type EtcFile = (typeof ETC_FILES)[number];

/** How long init waits at its gate for the emperor's word. */
export const GATE_TIMEOUT_MS = 10_000;

const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/key-users',
  '/proc/kallsyms',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
];
const READ_ONLY = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  // Everybody may have the kernel watch the whole machine's pressure, once for each descriptor.
  '/proc/pressure',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

const DEVICES: readonly (readonly [string, number, number])[] = [
  ['null', 1, 3],
  ['zero', 1, 5],
  ['full', 1, 7],
  ['random', 1, 8],
  ['urandom', 1, 9],
  ['tty', 5, 0],
];
const DEVICE_LINKS: readonly (readonly [string, string])[] = [
  ['ptmx', 'pts/ptmx'],
  ['fd', '/proc/self/fd'],
  ['stdin', '/proc/self/fd/0'],
  ['stdout', '/proc/self/fd/1'],
  ['stderr', '/proc/self/fd/2'],
];

/**
 * Root-owned directory in the vassal's /dev that holds what we generate (files of /etc, the parents of
 * home and log directory). No tenant can write to /dev, so nothing here can be swapped.
 */
const SCAFFOLD = '/dev/.emperor';
const CGROUP_VIEWS = '/sys/fs/cgroup';
const SHM_SIZE_BYTES = 64 * 1024 * 1024;
const DEV_SIZE_BYTES = 256 * 1024;
const RLIMIT_CORE = 4;
/**
 * The kernel gives each crash to the program that kernel.core_pattern names, as the host's root, whatever the limit but
 * for this one (core(5)); and no file is as small. The system call filter keeps it so.
 */
const NO_CORE = 1;
const RLIMIT_NOFILE = 7;

const directoryOf = (target: string, mode = 0o755): Step => ({ op: 'directory', target, mode });

const DEVICE_STEPS: readonly Step[] = [
  {
    op: 'tmpfs',
    target: '/dev',
    sizeBytes: DEV_SIZE_BYTES,
    inodes: 64,
    mode: 0o755,
    flags: ['nosuid', 'noexec'],
  },
  ...DEVICES.map(
    ([name, major, minor]) =>
      ({ op: 'device', target: `/dev/${name}`, mode: 0o666, major, minor }) as const,
  ),
  ...DEVICE_LINKS.map(([name, text]) => ({ op: 'symlink', target: `/dev/${name}`, text }) as const),
  directoryOf('/dev/pts'),
  directoryOf('/dev/shm'),
  directoryOf('/dev/mqueue'),
  directoryOf(SCAFFOLD),
  directoryOf(`${SCAFFOLD}/empty`, 0o555),
  { op: 'devpts', target: '/dev/pts', max: 64 },
  tmpfsOf('/dev/shm', SHM_SIZE_BYTES, 0o1777, ['nosuid', 'nodev', 'noexec']),
  { op: 'mqueue', target: '/dev/mqueue' },
];

const SYSCTL_STEPS: readonly Step[] = [
  { op: 'sysctl', target: 'net/ipv4/ping_group_range', text: '0 2147483647' },
  { op: 'sysctl', target: 'net/ipv4/ip_unprivileged_port_start', text: '0' },
];

const PROC_COVER_STEPS: readonly Step[] = [
  ...MASKED.map((target) => ({ op: 'mask', target }) as const),
  ...READ_ONLY.map((target) => ({ op: 'read-only', target }) as const),
];

const TOOL_STEPS: readonly Step[] = [
  { op: 'directory', target: dirname(TOOLS_PATH), mode: 0o755 },
  { op: 'directory', target: TOOLS_PATH, mode: 0o755 },
  { op: 'file', target: `${TOOLS_PATH}/crontab`, mode: 0o755, content: CRONTAB_SHIM },
];

/** Steps that are the same in every plan: whoever sends plans can keep their bytes. */
export const COMMON_STEPS: ReadonlySet<Step> = new Set([
  ...TOOL_STEPS,
  ...DEVICE_STEPS,
  ...SYSCTL_STEPS,
  ...PROC_COVER_STEPS,
]);

/** Returns the steps that turn a fresh set of namespaces into this vassal. Pure. */
export function planJail(spec: JailSpec): JailPlan {
  const has = (name: NamespaceName) => spec.namespaces.includes(name);
  return {
    name: spec.name,
    generation: spec.generation,
    hash: spec.hash,
    namespaces: spec.namespaces,
    steps: [
      ...planHolds(spec),
      // Without a mount namespace of its own these would be the launcher's.
      ...(has('fs') ? [{ op: 'private' } as const] : []),
      { op: 'home', source: spec.home, uid: spec.uid, gid: spec.gid },
      ...planHomeImage(spec),
      ...(has('fs') ? planMounts(spec) : []),
      ...(has('uts') ? [{ op: 'hostname', text: spec.hostname } as const] : []),
      ...(has('net') && !has('fs') ? planInterfaces(spec) : []),
      ...spec.hooks.map(
        (command) => ({ op: 'hook', command, timeoutMs: spec.hookTimeoutMs }) as const,
      ),
      ...(spec.hooks.length > 0 ? [{ op: 'sweep' } as const] : []),
      ...(has('net') && spec.network ? [addressStep(spec.network)] : []),
      { op: 'gate', timeoutMs: GATE_TIMEOUT_MS },
      ...(has('fs') ? [{ op: 'pivot' } as const] : []),
      { op: 'rlimit', resource: RLIMIT_CORE, soft: NO_CORE, hard: NO_CORE },
      { op: 'rlimit', resource: RLIMIT_NOFILE, soft: 1024, hard: 4096 },
      ...(spec.ksm ? [{ op: 'merge' } as const] : []),
      { op: 'drop', uid: spec.uid, gid: spec.gid },
      { op: 'seccomp', filter: spec.seccompFilter },
    ],
  };
}

/** The network namespace before hooks run. */
function planInterfaces({ network }: JailSpec): readonly Step[] {
  if (!network) return [{ op: 'loopback' }, ...SYSCTL_STEPS];
  const { interface: target, mtu, queuePackets } = network;
  return [{ op: 'loopback' }, { op: 'tun', target, mtu, queuePackets }, ...SYSCTL_STEPS];
}

function addressStep({ interface: target, ipv4, ipv6 }: JailNetwork): Step {
  return {
    op: 'address',
    target,
    address: ipv4.address,
    gateway: ipv4.gateway,
    address6: ipv6.address,
    gateway6: ipv6.gateway,
    exact: [
      ...(ipv4.isExact ? ['address' as const] : []),
      ...(ipv6.isExact ? ['address6' as const] : []),
    ],
  };
}

/** What must be taken hold of while the host's paths are still there. */
function planHolds(spec: JailSpec): readonly Step[] {
  return [
    { op: 'lock', source: `${spec.runDirectory}/lock` },
    {
      op: 'cgroup',
      init: spec.cgroups.initJoin,
      payload: spec.cgroups.payloadJoin,
      uid: spec.uid,
      gid: spec.gid,
    },
    ...spec.cgroups.joins.map((source) => ({ op: 'join', source }) as const),
    {
      op: 'log',
      source: spec.logDirectory,
      uid: spec.uid,
      gid: spec.gid,
      maxBytes: spec.logMaxBytes,
      files: spec.logFiles,
    },
    { op: 'listen', source: `${spec.runDirectory}/init.sock` },
  ];
}

function planMounts(spec: JailSpec): readonly Step[] {
  return [
    { op: 'root', source: spec.distro },
    ...DEVICE_STEPS,
    { op: 'proc', target: '/proc', hidesOthers: !spec.namespaces.includes('pid') },
    // Before /proc/sys is made read-only: in the host's /proc a name is looked up among those of all vassals.
    ...(spec.namespaces.includes('net') ? planInterfaces(spec) : []),
    ...PROC_COVER_STEPS,
    ...planCgroupViews(spec),
    ...planTemporary(spec),
    ...planEtc(spec),
    ...planHome(spec),
    ...planLogs(spec),
    ...(spec.opt === null ? [] : [bindOf(spec.opt, '/opt', ['ro', 'nosuid', 'nodev'])]),
    ...spec.binds.map((bind) =>
      bindOf(
        bind.source,
        bind.target,
        bind.readOnly ? ['ro', 'nosuid', 'nodev'] : ['nosuid', 'nodev'],
      ),
    ),
  ];
}

/** /sys is ours, and empty but for what its tenant is to know of its limits. */
function planCgroupViews({ cgroups: { views } }: JailSpec): readonly Step[] {
  if (views.length === 0) return [];
  const above = ['/sys', '/sys/fs', CGROUP_VIEWS];
  const places = views.map(({ target }) => target).filter((target) => target !== CGROUP_VIEWS);
  return [
    ...[...above, ...places].map((path) => directoryOf(`${SCAFFOLD}${path}`)),
    {
      op: 'bind-inside',
      source: `${SCAFFOLD}/sys`,
      target: '/sys',
      flags: ['ro', 'nosuid', 'nodev', 'noexec'],
    },
    ...views.map(({ source, target }) =>
      bindOf(source, target, ['ro', 'nosuid', 'nodev', 'noexec']),
    ),
  ];
}

function bindOf(source: string, target: string, flags: readonly MountFlag[]): Step {
  return { op: 'bind', source, target, flags };
}

function tmpfsOf(
  target: string,
  sizeBytes: number,
  mode: number,
  flags: readonly MountFlag[],
): Step {
  const inodes = Math.max(1024, Math.floor(sizeBytes / 16_384));
  return { op: 'tmpfs', target, sizeBytes, inodes, mode, flags };
}

function planTemporary(spec: JailSpec): readonly Step[] {
  const flags = ['nosuid', 'nodev'] as const;
  return [
    tmpfsOf('/tmp', spec.tmpSizeBytes, 0o1777, flags),
    tmpfsOf('/var/tmp', spec.tmpSizeBytes, 0o1777, flags),
    tmpfsOf('/run', spec.runSizeBytes, 0o1777, flags),
    { op: 'directory', target: '/run/lock', mode: 0o1777 },
    ...TOOL_STEPS,
  ];
}

function planEtc(spec: JailSpec): readonly Step[] {
  return spec.etcFiles.flatMap((name): readonly Step[] => [
    {
      op: 'file',
      target: `${SCAFFOLD}/${name}`,
      mode: 0o644,
      content: etcContent(name, spec),
    },
    {
      op: 'bind-inside',
      source: `${SCAFFOLD}/${name}`,
      target: `/etc/${name}`,
      flags: ['ro', 'nosuid', 'nodev', 'noexec'],
    },
  ]);
}

/** Returns the text of one generated file of /etc. */
export function etcContent(name: EtcFile, spec: JailSpec): string {
  const user = spec.name;
  switch (name) {
    case 'hostname':
      return `${spec.hostname}\n`;
    case 'hosts':
      return [
        '127.0.0.1 localhost',
        '::1 localhost ip6-localhost ip6-loopback',
        ...ownAddresses(spec).map((address) => `${address} ${spec.hostname}`),
        '',
      ].join('\n');
    case 'resolv.conf':
      return spec.dns.map((server) => `nameserver ${server}\n`).join('');
    case 'passwd':
      return [
        'root:x:0:0:root:/root:/bin/sh',
        'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
        `${user}:x:${spec.uid}:${spec.gid}::/home/${user}:${spec.shell}`,
        '',
      ].join('\n');
    case 'group':
      return `root:x:0:\ntty:x:5:\nnogroup:x:65534:\n${user}:x:${spec.gid}:\n`;
  }
}

/** Those that are certain before hooks have run; a vassal without any still knows itself by name. */
function ownAddresses({ network, hooks }: JailSpec): readonly string[] {
  const families = network ? [network.ipv4, network.ipv6] : [];
  const certain = families.flatMap(({ address, isExact }) =>
    address !== null && (isExact || hooks.length === 0) ? [address.replace(/\/.*/, '')] : [],
  );
  return certain.length > 0 ? certain : ['127.0.1.1'];
}

/** In this mount namespace alone, and before hooks and binds look at the home. */
function planHomeImage({ namespaces, homeImage, home, uid, gid }: JailSpec): readonly Step[] {
  if (homeImage === null || !namespaces.includes('fs')) return [];
  return [{ op: 'image', source: homeImage, target: home, uid, gid }];
}

function planHome(spec: JailSpec): readonly Step[] {
  const inside = `${SCAFFOLD}/home`;
  return [
    { op: 'directory', target: inside, mode: 0o755 },
    { op: 'directory', target: `${inside}/${spec.name}`, mode: 0o755 },
    { op: 'bind-inside', source: inside, target: '/home', flags: ['ro', 'nosuid', 'nodev'] },
    bindOf(spec.home, `/home/${spec.name}`, ['nosuid', 'nodev']),
  ];
}

/** /var/log is ours, since the distro has no /var/log/vassal and is read-only. */
function planLogs(spec: JailSpec): readonly Step[] {
  const inside = `${SCAFFOLD}/log`;
  return [
    { op: 'directory', target: inside, mode: 0o755 },
    { op: 'directory', target: `${inside}/vassal`, mode: 0o755 },
    { op: 'bind-inside', source: inside, target: '/var/log', flags: ['ro', 'nosuid', 'nodev'] },
    bindOf(spec.logDirectory, '/var/log/vassal', ['ro', 'nosuid', 'nodev', 'noexec']),
  ];
}
