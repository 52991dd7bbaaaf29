/**
 * Settings of the host's kernel that decide what a tenant who gets further than it should can do. Vassals are kept from
 * most of it by their own system call filter and mounts, so what is set otherwise is a warning; where nothing of ours is
 * in the way it is a problem.
 */
import { readdirSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { KSM_FAILURES, type KsmState, readKsm } from '../../linux/ksm.ts';
import { readProc } from '../../linux/proc.ts';
import { type Finding, ok, problem, warning } from './finding.ts';

export interface HostSettings {
  /** Sysctl with its dots → what it is; of the names in SETTINGS, those that this kernel has. */
  readonly sysctls: ReadonlyMap<string, string>;
  /** Devices and files that are swapped to, and whether they are encrypted. */
  readonly swaps: readonly { readonly name: string; readonly isEncrypted: boolean }[];
  readonly ksm: KsmState;
}

interface Setting {
  /** A `*` is any device of the network; the larger of its setting and that of `all` counts. */
  readonly name: string;
  readonly wanted: string;
  readonly isSound: (value: string) => boolean;
  readonly why: string;
  /** True where nothing of ours is in the way. */
  readonly isProblem?: (value: string) => boolean;
}

const SYSCTL_FILE = '/etc/sysctl.d/60-emperor.conf';

const atLeast = (least: number) => (value: string) => Number(value) >= least;
const is = (wanted: number) => (value: string) => Number(value) === wanted;

const SETTINGS: readonly Setting[] = [
  {
    name: 'kernel.core_pattern',
    wanted: 'core',
    isSound: (value) => !/^[|@]/.test(value),
    why: "each crash is given to a program of the host's root, which vassals are kept from by their limit of core dumps",
    // The kernel asks for no limit before it connects to a socket.
    isProblem: (value) => value.startsWith('@'),
  },
  {
    name: 'fs.suid_dumpable',
    wanted: '0',
    isSound: is(0),
    why: 'programs that nobody may read can be dumped, and at 1 traced',
  },
  {
    name: 'kernel.dmesg_restrict',
    wanted: '1',
    isSound: atLeast(1),
    why: "everybody reads the kernel's log and the addresses in it; vassals are refused syslog(2)",
  },
  {
    name: 'kernel.kptr_restrict',
    wanted: '1',
    isSound: atLeast(1),
    why: 'everybody reads addresses of the kernel, which attacks on it need; vassals see no kallsyms',
  },
  {
    name: 'kernel.unprivileged_bpf_disabled',
    wanted: '1',
    isSound: atLeast(1),
    why: 'everybody may load programs into the kernel; vassals are refused bpf(2)',
  },
  {
    name: 'kernel.perf_event_paranoid',
    wanted: '2',
    isSound: atLeast(2),
    why: 'everybody may measure the kernel; vassals are refused perf_event_open(2)',
  },
  {
    name: 'kernel.io_uring_disabled',
    wanted: '2',
    isSound: is(2),
    why: 'a large part of the kernel that needs no right; vassals are refused io_uring',
  },
  {
    name: 'user.max_user_namespaces',
    wanted: '0',
    isSound: is(0),
    why: 'everybody may become root in a namespace, where most attacks on the kernel begin; vassals are refused it',
  },
  {
    name: 'kernel.yama.ptrace_scope',
    wanted: '1',
    isSound: atLeast(1),
    why: 'a program can read the memory of others of its user; vassals do not see each other',
  },
  {
    name: 'dev.tty.legacy_tiocsti',
    wanted: '0',
    isSound: is(0),
    why: 'a program can type into its terminal for who has it next; vassals are refused it',
  },
  {
    name: 'fs.protected_symlinks',
    wanted: '1',
    isSound: atLeast(1),
    why: 'root follows links that others leave in a directory all write to, such as one that `bind … rw` shares',
  },
  {
    name: 'fs.protected_hardlinks',
    wanted: '1',
    isSound: atLeast(1),
    why: 'a user can give a second name to files of others where it may write',
  },
  {
    name: 'fs.protected_fifos',
    wanted: '2',
    isSound: atLeast(1),
    why: 'root opens pipes that others leave in a directory all write to',
  },
  {
    name: 'fs.protected_regular',
    wanted: '2',
    isSound: atLeast(1),
    why: 'root writes to files that others leave in a directory all write to',
  },
  {
    name: 'debug.exception-trace',
    wanted: '0',
    isSound: is(0),
    why: "each crash of a vassal's program writes to the kernel's log",
  },
  {
    name: 'kernel.sysrq',
    wanted: '176',
    isSound: (value) => Number(value) !== 1,
    why: 'whoever has the console may end or dump anything; vassals cannot write to sysrq-trigger',
  },
  {
    name: 'net.ipv4.conf.*.rp_filter',
    wanted: '1',
    isSound: atLeast(1),
    why: 'packets with a false sender come in from outside; those of vassals are checked by the router',
  },
  {
    name: 'net.ipv4.conf.*.route_localnet',
    wanted: '0',
    isSound: is(0),
    why: 'packets from outside reach what listens at 127.0.0.1; the router passes none of vassals',
  },
];

// ── looking ────────────────────────────────────────────────────────────────────────────────────

/** Reads what there is of SETTINGS below `sysctl`, /proc/sys, and the rest. */
export function readHostSettings({
  sysctl = '/proc/sys',
  proc = '/proc',
  sys = '/sys',
  kernelRelease = release(),
} = {}): HostSettings {
  // A dot of a device's name is a slash in a sysctl's.
  const pathOf = (name: string) => name.split('.').map((part) => part.replaceAll('/', '.'));
  const read = (name: string) => readProc(join(sysctl, ...pathOf(name)))?.trim();
  const names = SETTINGS.flatMap(({ name }) => expand(name, sysctl));
  return {
    sysctls: new Map(
      names.flatMap((name) => {
        const value = read(name);
        return value === undefined ? [] : [[name, value] as const];
      }),
    ),
    swaps: swapsIn(readProc(join(proc, 'swaps')) ?? '', sys),
    ksm: readKsm({ sys, kernelRelease }).state,
  };
}

/** Each device for a `*`; what is named `default` is for those to come. */
function expand(name: string, sysctl: string): readonly string[] {
  const [before, after] = name.split('.*.');
  if (before === undefined || after === undefined) return [name];
  return list(join(sysctl, ...before.split('.')))
    .filter((device) => device !== 'default' && device !== 'lo')
    .map((device) => `${before}.${device.replaceAll('.', '/')}.${after}`);
}

function list(directory: string): readonly string[] {
  try {
    return readdirSync(directory).toSorted();
  } catch {
    return [];
  }
}

function swapsIn(text: string, sys: string): HostSettings['swaps'] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [name] = line.split(/\s+/);
      // zram is memory.
      if (!name || /^\/dev\/zram\d/.test(name)) return [];
      const device = /^\/dev\/(dm-\d+)$/.exec(name)?.[1];
      const uuid = device && readProc(join(sys, 'block', device, 'dm/uuid'));
      return [{ name, isEncrypted: uuid?.startsWith('CRYPT-') ?? false }];
    });
}

// ── judging ────────────────────────────────────────────────────────────────────────────────────

/** A finding for each. Pure. */
export function judgeHostSettings(settings: HostSettings): readonly Finding[] {
  return [
    ...SETTINGS.map((setting) => judgeSetting(setting, settings.sysctls)),
    judgeSwap(settings),
    judgeKsm(settings),
  ];
}

function judgeSetting(setting: Setting, sysctls: HostSettings['sysctls']): Finding {
  const { name: topic, why, isProblem } = setting;
  const found = valuesOf(topic, sysctls);
  const first = found.find(({ value }) => !setting.isSound(value)) ?? found[0];
  if (first === undefined) return ok(topic, 'not on this kernel');
  if (setting.isSound(first.value)) return ok(topic, first.value);
  const unsound = found.filter(({ value }) => !setting.isSound(value)).map(({ name }) => name);
  const where = first.name === topic ? '' : ` for ${deviceOf(first.name)}`;
  const say = isProblem?.(first.value) ? problem : warning;
  return say(topic, `${first.value}${where}: ${why}`, fixOf(setting, unsound));
}

/** Of a `*` one for each device, as the kernel sees it. */
function valuesOf(topic: string, sysctls: HostSettings['sysctls']) {
  const [before, after] = topic.split('.*.');
  const own = sysctls.get(topic);
  if (after === undefined) return own === undefined ? [] : [{ name: topic, value: own }];
  const ofAll = Number(sysctls.get(`${before}.all.${after}`) ?? 0);
  return [...sysctls]
    .filter(([name]) => name.startsWith(`${before}.`) && name.endsWith(`.${after}`))
    .filter(([name]) => deviceOf(name) !== 'all')
    .map(([name, value]) => ({ name, value: String(Math.max(ofAll, Number(value))) }));
}

function deviceOf(name: string): string {
  return (name.split('.').at(-2) ?? '').replaceAll('/', '.');
}

function fixOf({ name: topic, wanted }: Setting, unsound: readonly string[]): string {
  const [all, ofLater] = [topic.replace('*', 'all'), topic.replace('*', 'default')];
  const names = topic.includes('*') ? [all, ...unsound] : [topic];
  const lines = topic.includes('*') ? [all, ofLater] : [topic];
  const words = names.map((name) => `${name}=${wanted}`).join(' ');
  const kept = lines.map((name) => `\`${name} = ${wanted}\``).join(' and ');
  return `\`sysctl -w ${words}\`, and ${kept} in ${SYSCTL_FILE}`;
}

function judgeSwap({ swaps }: HostSettings): Finding {
  const topic = 'swap';
  const open = swaps.filter(({ isEncrypted }) => !isEncrypted).map(({ name }) => name);
  if (swaps.length === 0) return ok(topic, 'none');
  if (open.length === 0) return ok(topic, 'encrypted');
  return warning(
    topic,
    `${open.join(', ')}: memory of vassals, keys and passwords in it, stays on a disk`,
    `\`swapoff ${open.join(' ')}\` and no line for it in /etc/fstab, or encrypt it in /etc/crypttab`,
  );
}

function judgeKsm({ ksm }: HostSettings): Finding {
  const topic = 'ksm';
  const failure = KSM_FAILURES[ksm];
  if (failure !== null) return ok(topic, `\`ksm = true\` has no effect: ${failure}`);
  return warning(
    topic,
    'on: who measures how long a write takes learns whether another vassal has that page',
    'give `ksm = true` to vassals that trust each other, or `echo 2 >/sys/kernel/mm/ksm/run`',
  );
}
