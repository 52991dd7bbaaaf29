/** What the facts mean for an emperor here, with the fix. Pure. */
import { judgeForwarding, judgeNameServers } from '../../network/preflight.ts';
import type { Facts, Namespace, NetworkFacts } from './facts.ts';
import { type Finding, ok, problem, warning } from './finding.ts';
import { judgeHostSettings } from './host-settings.ts';

export function judgeMachine(facts: Facts): readonly Finding[] {
  return [
    judgeRoot(facts),
    judgeCapabilities(facts),
    judgeKernel(facts),
    judgeNamespaces(facts),
    judgeCgroups(facts),
    judgeLimits(facts),
    judgeSeccomp(facts),
    ...judgeLeases(facts),
    judgeTun(facts),
    ...judgeNetwork(facts),
    judgeHomes(facts),
    judgeInotify(facts),
    judgeNumber('open files', facts.openFiles, 16_384, {
      remedy: 'raise `LimitNOFILE` of the service, or `ulimit -n`',
    }),
    judgeNumber('processes', facts.pidMax, 65_536, {
      remedy: '`sysctl -w kernel.pid_max=4194304`, for some thousand vassals',
    }),
    judgePtys(facts),
    judgeProgram(facts),
    judgeConfig(facts),
    judgeBuilders(facts),
    ...judgeDistros(facts),
    judgeClock(facts),
    ...judgeHostSettings(facts.hostSettings),
  ];
}

function judgeRoot({ uid }: Facts): Finding {
  if (uid === 0) return ok('root', 'runs as root');
  return problem('root', `runs as uid ${uid}`, 'start the emperor as root; use sudo');
}

function judgeCapabilities({ missingCapabilities, uid }: Facts): Finding {
  if (missingCapabilities.length === 0) return ok('capabilities', 'all that are needed');
  const missing = missingCapabilities.join(', ');
  if (uid === 0 && missing === 'sys_resource') {
    const fix =
      'none needed for most; give CAP_SYS_RESOURCE to raise limits beyond the hard ones and have homes grow while they are in use';
    return warning('capabilities', 'without sys_resource', fix);
  }
  const fix = uid === 0 ? 'give this container CAP_SYS_ADMIN and the others' : 'use sudo';
  return problem('capabilities', `missing: ${missing}`, fix);
}

/** move_mount and mount_setattr are what the newest steps of a jail plan need. */
const NEEDED_KERNEL = [5, 12] as const;

function judgeKernel({ kernelRelease, openat2 }: Facts): Finding {
  const [major = 0, minor = 0] = kernelRelease.split(/[.-]/).map(Number);
  const [neededMajor, neededMinor] = NEEDED_KERNEL;
  const isOld = major < neededMajor || (major === neededMajor && minor < neededMinor);
  const fix = `use Linux ${NEEDED_KERNEL.join('.')} or newer; Debian 12 has 6.1`;
  if (isOld) return problem('kernel', `Linux ${kernelRelease} lacks mount_setattr(2)`, fix);
  if (openat2 !== null) return problem('kernel', `openat2(2) does not work: ${openat2}`, fix);
  return ok('kernel', `Linux ${kernelRelease}`);
}

function judgeNamespaces({ namespaces }: Facts): Finding {
  const failed = (Object.entries(namespaces) as [Namespace, string | null][]).filter(
    ([, failure]) => failure !== null,
  );
  if (failed.length === 0) return ok('namespaces', Object.keys(namespaces).join(', '));
  const names = failed.map(([name, failure]) => `${name} (${failure})`).join(', ');
  const fix =
    'as root outside of a container: `sysctl user.max_mnt_namespaces user.max_net_namespaces …`; or leave them out of emperor-use-clone';
  return problem('namespaces', `cannot be made: ${names}`, fix);
}

function judgeCgroups({ cgroupKind }: Facts): Finding {
  if (cgroupKind === 'v2') return ok('cgroups', 'cgroup v2');
  if (cgroupKind === 'v1') return ok('cgroups', "v1's freezer");
  const fix = '`mount -t cgroup2 none /sys/fs/cgroup`';
  return problem('cgroups', 'neither cgroup2 nor the v1 freezer is mounted', fix);
}

const WANTED_CONTROLLERS = ['memory', 'cpu', 'pids', 'io'];

function judgeLimits({ controllers }: Facts): Finding {
  const missing = WANTED_CONTROLLERS.filter((one) => !controllers.includes(one));
  if (missing.length === 0) return ok('limits', `kept by ${WANTED_CONTROLLERS.join(', ')}`);
  const fix =
    'enable them for this part of the tree (cgroup.subtree_control), or boot with `cgroup_enable=memory`';
  return warning('limits', `cannot be kept for ${missing.join(', ')}`, fix);
}

const NEEDED_ACTIONS = ['errno', 'allow', 'kill_process'];

function judgeSeccomp({ seccompActions }: Facts): Finding {
  const missing = NEEDED_ACTIONS.filter((action) => !seccompActions.includes(action));
  if (missing.length === 0) return ok('seccomp', 'filters work');
  const fix = 'use a kernel with CONFIG_SECCOMP_FILTER';
  return problem('seccomp', `the kernel has no ${missing.join(', ')}`, fix);
}

function judgeLeases({ leases }: Facts): readonly Finding[] {
  return leases.map(({ directory, failure }) => {
    if (failure === null) return ok('leases', `work in ${directory}`);
    const message = `do not work in ${directory}: ${failure}; files are read settle-ms after their last change`;
    return warning('leases', message, 'keep vassal files on a local file system');
  });
}

function judgeTun({ tun }: Facts): Finding {
  if (tun === null) return ok('tun', '/dev/net/tun works');
  const fix = '`modprobe tun`, or give this container /dev/net/tun';
  return warning('tun', `/dev/net/tun: ${tun}; vassals cannot have a network`, fix);
}

function judgeNetwork({ network }: Facts): readonly Finding[] {
  if (network === null) return [];
  const { nameServers, dns } = network;
  const servers = judgeNameServers(nameServers, dns);
  return [judgePackets(network), servers, ...judgeNat(network)];
}

function judgePackets({ packets }: NetworkFacts): Finding {
  const topic = 'router';
  if (packets instanceof Error) {
    const fix = '`apt-get install iproute2`, `modprobe tun`, or give this container CAP_NET_ADMIN';
    return problem(topic, `there can be none: ${packets.message}`, fix);
  }
  if (packets.mode === 'gso') return ok(topic, 'takes packets of 64 KB whole (gso)');
  const message = `handles packets one by one (plain), which is slow: ${packets.reason}`;
  return warning(topic, message, 'use a kernel that takes them: Debian 12 has one');
}

function judgeNat({ device, hasNat, forwardDrops }: NetworkFacts): readonly Finding[] {
  if (forwardDrops instanceof Error) {
    const fix = '`apt-get install nftables`, or set `nat = off`';
    return hasNat ? [problem('nat', forwardDrops.message, fix)] : [];
  }
  return judgeForwarding(forwardDrops, device);
}

function judgeHomes({ homeImages }: Facts): Finding {
  if (homeImages === null) return ok('home-size', 'loop devices and e2fsprogs are there');
  return warning('home-size', `cannot be kept: ${homeImages.what}`, homeImages.fix);
}

function judgeInotify({ inotifyInstances, inotifyWatches }: Facts): Finding {
  const message = `${inotifyInstances ?? '?'} instances, ${inotifyWatches ?? '?'} watches`;
  if ((inotifyInstances ?? 0) >= 64 && (inotifyWatches ?? 0) >= 8192) return ok('inotify', message);
  const fix = '`sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536`';
  return warning('inotify', message, fix);
}

function judgeNumber(
  topic: string,
  value: number | null,
  wanted: number,
  { remedy }: { readonly remedy: string },
): Finding {
  if (value === null) return warning(topic, 'the limit is unknown', 'mount /proc');
  if (value >= wanted) return ok(topic, `at most ${value}`);
  return warning(topic, `at most ${value}`, remedy);
}

function judgePtys({ ptyMax, ptyUsed }: Facts): Finding {
  const message = `${ptyUsed ?? '?'} of ${ptyMax ?? '?'} in use`;
  if (ptyMax !== null && ptyUsed !== null && ptyUsed < ptyMax * 0.8) return ok('ptys', message);
  return warning('ptys', message, '`sysctl -w kernel.pty.max=16384`, for many sessions');
}

function judgeProgram({ isProgramBuilt }: Facts): Finding {
  if (isProgramBuilt) return ok('init', 'the C program is built');
  return problem('init', 'the C program is not built', '`npm run setup` in the checkout');
}

function judgeConfig({ configErrors }: Facts): Finding {
  if (configErrors === null) {
    return warning('emperor.ini', 'none given, looked at the defaults', 'name it by --ini FILE');
  }
  if (configErrors === 0) return ok('emperor.ini', 'valid');
  return problem('emperor.ini', `has ${configErrors} errors`, '`emperor check` shows them');
}

function judgeBuilders({ builders }: Facts): Finding {
  if (builders.length > 0) return ok('debian builder', builders.join(', '));
  const message = 'neither mmdebstrap nor debootstrap; `emperor distro add` cannot work';
  return warning('debian builder', message, '`apt-get install mmdebstrap`');
}

function judgeDistros({ distros, distrosDirectory }: Facts): readonly Finding[] {
  if (distros.length === 0) {
    return [
      problem(
        'distros',
        `there are none in ${distrosDirectory}`,
        '`emperor distro add bookworm`, or `debootstrap bookworm DIR`',
      ),
    ];
  }
  return distros.map(({ name, osRelease, problems }) => {
    const topic = `distro ${name}`;
    const first = problems.find(({ severity }) => severity === 'error');
    if (!first) return ok(topic, osRelease?.prettyName ?? 'usable');
    return problem(topic, first.message, first.fix);
  });
}

function judgeClock({ nowMs, builtMs }: Facts): Finding {
  const now = new Date(nowMs).toISOString();
  if (nowMs >= builtMs) return ok('clock', now);
  const message = `${now} is before this program was built`;
  return problem('clock', message, 'set the time: `timedatectl set-ntp true`');
}
