/** Looks at the machine for the doctor: tries what can be tried without leaving a trace, reads the rest. */
import { spawnSync } from 'node:child_process';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DIST, NATIVE } from '../../base/checkout.ts';
import { systemClock } from '../../base/clock.ts';
import { EmperorError, messageOf } from '../../base/errors.ts';
import { runTool } from '../../base/run-tool.ts';
import { controllerMounts, membershipMount } from '../../cgroup/membership-mount.ts';
import type { EmperorConfig } from '../../config/emperor-config.ts';
import { listDistros } from '../../distro/keep.ts';
import { lackForImages } from '../../emperor/home-needs.ts';
import {
  CAPABILITIES,
  type Capability,
  effectiveCapabilities,
  missingCapabilities,
} from '../../linux/capabilities.ts';
import { readUnderLease } from '../../linux/lease.ts';
import { openBeneath } from '../../linux/openat2.ts';
import { readProc } from '../../linux/proc.ts';
import { gatherForwardDrops } from '../../network/preflight.ts';
import { hostNameServers } from '../../network/resolv.ts';
import type { SelfTest } from '../../router/self-test.ts';
import { defaultSettings, loadSettings, type OpenSettings } from '../settings.ts';
import type { Facts, Failure, Namespace, NetworkFacts } from './facts.ts';
import { readHostSettings } from './host-settings.ts';

const UNSHARE_FLAGS: Readonly<Record<Namespace, readonly string[]>> = {
  fs: ['--mount'],
  ipc: ['--ipc'],
  uts: ['--uts'],
  net: ['--net'],
  pid: ['--pid', '--fork'],
};
/** From the sources (tests) the built program is used: Node 20 cannot run TypeScript. */
const TRY_TUN = join(DIST, 'cli/doctor/try-tun.js');
const BUILDERS = ['/usr/bin/mmdebstrap', '/usr/sbin/debootstrap'];

export async function gatherFacts(iniFile: string | undefined): Promise<Facts> {
  const { settings, configErrors } = openSettings(iniFile);
  const { distrosDirectory, vassalDirectories } = settings.config;
  return {
    uid: process.getuid?.() ?? -1,
    missingCapabilities: missingCapabilities(
      effectiveCapabilities(),
      Object.keys(CAPABILITIES) as Capability[],
    ),
    kernelRelease: release(),
    namespaces: {
      fs: tryNamespace('fs'),
      ipc: tryNamespace('ipc'),
      uts: tryNamespace('uts'),
      net: tryNamespace('net'),
      pid: tryNamespace('pid'),
    },
    cgroupKind: membershipMount(readProc('/proc/self/mountinfo') ?? '')?.kind ?? null,
    controllers: controllersIn(readProc('/proc/self/mountinfo') ?? ''),
    openat2: attempt(() => closeSync(openBeneath('/', 'proc', constants.O_DIRECTORY))),
    seccompActions: (readProc('/proc/sys/kernel/seccomp/actions_avail') ?? '').trim().split(' '),
    leases: leasesIn(vassalDirectories),
    tun: attempt(() => closeSync(openSync('/dev/net/tun', constants.O_RDWR))),
    network: await gatherNetwork(settings.config),
    homeImages: lackForImages(),
    inotifyInstances: numberIn('/proc/sys/fs/inotify/max_user_instances'),
    inotifyWatches: numberIn('/proc/sys/fs/inotify/max_user_watches'),
    openFiles: hardLimit('Max open files'),
    pidMax: numberIn('/proc/sys/kernel/pid_max'),
    ptyMax: numberIn('/proc/sys/kernel/pty/max'),
    ptyUsed: numberIn('/proc/sys/kernel/pty/nr'),
    builders: BUILDERS.filter((path) => existsSync(path)),
    isProgramBuilt: existsSync(join(NATIVE, 'emperor-init')),
    distrosDirectory,
    distros: listDistros(distrosDirectory),
    configErrors,
    hostSettings: readHostSettings(),
    nowMs: systemClock.now(),
    builtMs: statSync(fileURLToPath(import.meta.url)).mtimeMs,
  };
}

/** cgroup v2's where it has any, else v1's, by the names that v2 gives them. */
function controllersIn(mountinfo: string): readonly string[] {
  const mount = membershipMount(mountinfo);
  const own = mount?.kind === 'v2' ? readProc(join(mount.path, 'cgroup.controllers')) : undefined;
  const names = (own ?? '').trim().split(' ').filter(Boolean);
  if (names.length > 0) return names;
  return [...controllerMounts(mountinfo).keys()].map((name) => (name === 'blkio' ? 'io' : name));
}

async function gatherNetwork(config: EmperorConfig): Promise<NetworkFacts | null> {
  if (!config.router) return null;
  const { device } = config.router;
  const forwardDrops = await gatherForwardDrops(runTool, device).catch((error: unknown) => {
    if (error instanceof EmperorError) return error;
    throw error;
  });
  const hasNat = config.nat !== 'off';
  const nameServers = hostNameServers();
  return { device, hasNat, packets: tryTun(), forwardDrops, nameServers, dns: config.dns };
}

/** In a network namespace that is gone afterwards. */
function tryTun(): SelfTest | Error {
  const { status, stdout, stderr, error } = spawnSync(
    'unshare',
    ['--net', process.execPath, TRY_TUN],
    { encoding: 'utf8' },
  );
  if (error) return error;
  // At the boundary: try-tun.ts prints it.
  if (status === 0) return JSON.parse(stdout) as SelfTest;
  const told = stderr.split('\n').find((line) => /Error/.test(line)) ?? stderr.trim();
  return new Error(told.replace(/^\w*Error(?: \[.*?\])?: /, ''));
}

function openSettings(iniFile: string | undefined): {
  readonly settings: OpenSettings;
  readonly configErrors: number | null;
} {
  if (iniFile === undefined) return { settings: defaultSettings(), configErrors: null };
  try {
    return { settings: loadSettings(iniFile), configErrors: 0 };
  } catch (error) {
    if (!(error instanceof EmperorError)) throw error;
    const configErrors = Math.max(1, error.diagnostics.length);
    return { settings: defaultSettings(), configErrors };
  }
}

function attempt(work: () => void): Failure {
  try {
    work();
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** By unshare(1), in a process that ends at once. */
function tryNamespace(namespace: Namespace): Failure {
  const { status, stderr, error } = spawnSync('unshare', [...UNSHARE_FLAGS[namespace], 'true'], {
    encoding: 'utf8',
  });
  if (error) return messageOf(error);
  return status === 0 ? null : stderr.trim().replace(/^unshare: /, '');
}

/** In a hidden directory beside the vassal files, where the watch does not look; in /tmp if there is none. */
function leasesIn(directories: readonly string[]): Facts['leases'] {
  const present = directories.filter((directory) => existsSync(directory));
  return (present.length > 0 ? present : [tmpdir()]).map((directory) => ({
    directory,
    failure: leaseFailure(directory),
  }));
}

function leaseFailure(directory: string): Failure {
  let own: string | undefined;
  try {
    own = mkdtempSync(join(directory, '.doctor-'));
    const file = join(own, 'file');
    writeFileSync(file, 'x');
    const read = readUnderLease(file, { maxBytes: 16 });
    if (read.kind !== 'content') return read.kind;
    return read.leased ? null : 'the file system has none';
  } catch (error) {
    return messageOf(error);
  } finally {
    if (own !== undefined) rmSync(own, { recursive: true, force: true });
  }
}

function numberIn(file: string): number | null {
  const text = (readProc(file) ?? '').trim();
  return /^\d+$/.test(text) ? Number(text) : null;
}

function hardLimit(name: string): number | null {
  const line = readFileSync('/proc/self/limits', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(name));
  const value = line?.slice(name.length).trim().split(/\s+/)[1];
  return value === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(value ?? Number.NaN) || null;
}
