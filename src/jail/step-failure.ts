/**
 * What an operator reads when a step of a jail plan fails: which step, which path, which errno, what to
 * do. Pure; one row for each kind of step.
 */
import { visible } from '../base/visible.ts';
import { errnoName } from '../linux/errno.ts';
import type { OpName, StepOf } from './encode.ts';
import type { AddressName, JailPlan, Step } from './plan.ts';

/** A failed step as init reports it. */
export interface FailedStep {
  /** Index into the plan's steps; null if it failed outside of any. */
  readonly step: number | null;
  readonly errno: number;
  /** The path or command concerned, in the other side's words. */
  readonly detail: string;
}

/** How one kind of step is told. */
interface Telling<S> {
  /** `Cannot <this>`; paths come from the plan. */
  readonly what: (step: S) => string;
  /** errno name → the reason in words and what to do. */
  readonly hints?: Readonly<Record<string, (step: S, context: Context) => string>>;
}

interface Context {
  readonly name: string;
  readonly distro: string;
  readonly detail: string;
}

type Tellings = { readonly [Op in OpName]: Telling<StepOf<Op>> };

const mountPoint = {
  ENOENT: ({ target }: { readonly target: string }, { distro }: Context) =>
    `the distro has no directory ${target}; create it with \`mkdir -p ${distro}${target}\``,
  ENOTDIR: ({ target }: { readonly target: string }, { distro }: Context) =>
    `${distro}${target} is not a directory; replace it with one`,
  ELOOP: ({ target }: { readonly target: string }, { distro }: Context) =>
    `${distro}${target} is or lies below a symlink; make it a real directory`,
};

const noPrivilege = () => 'the emperor lacks the privilege; run it as root with CAP_SYS_ADMIN';
const noMemory = () => 'the kernel has no memory left for it';
const notInKernel = (what: string) => () => `this kernel has no ${what}`;

const made = {
  EEXIST: ({ target }: { readonly target: string }) => `${target} is already there`,
  ENOENT: ({ target }: { readonly target: string }) => `the directory above ${target} is missing`,
  ENOSPC: () => 'the tmpfs around it is full',
};

const bindSource = {
  ENOENT: ({ source }: { readonly source: string }, context: Context) =>
    context.detail === source || context.detail === ''
      ? `${source} does not exist; create it or remove the bind`
      : `there is no ${context.detail} in the distro; create the mount point in ${context.distro}`,
  EINVAL: ({ source }: { readonly source: string }) =>
    `${source} is neither a directory nor a regular file`,
  ELOOP: ({ source }: { readonly source: string }, { detail }: Context) =>
    `${detail || source} is a symlink; name the real path`,
  ENOTDIR: () => 'a directory can only be bound on a directory, a file on a file',
};

/** init names the home where it mounts, the device where it puts that before the image. */
const damagedImage = (step: StepOf<'image'>, { detail }: Context) =>
  detail === step.target
    ? `it is damaged; mend it with \`e2fsck -f ${step.source}\``
    : aboutDetail(step, detail);

const TELLINGS: Tellings = {
  lock: {
    what: ({ source }) => `lock ${source}`,
    hints: {
      EAGAIN: (_, { name }) => `another init of ${name} is alive; stop it first`,
      ENOENT: () => 'its directory is missing',
    },
  },
  cgroup: {
    what: ({ init, payload }) => `join the cgroups ${init} and ${payload}`,
    hints: {
      ENOENT: (_, { detail }) => `${detail || 'one of them'} does not exist`,
      EOPNOTSUPP: () => 'the cgroup is threaded, or not of a kind that takes processes',
      EBUSY: () => 'controllers are enabled for a cgroup that holds processes',
      EAGAIN: () => "the parent's pids.max is reached",
    },
  },
  join: {
    what: ({ source }) => `join the cgroup ${source}`,
    hints: {
      ENOENT: () => 'it does not exist',
      EAGAIN: () => "the parent's pids.max is reached",
    },
  },
  log: {
    what: ({ source }) => `open the log directory ${source}`,
    hints: {
      ENOENT: () => 'the directory above it is missing; create it',
      ENOTDIR: () => 'it is not a directory',
      ENOSPC: () => 'the disk is full',
      EROFS: () => 'it lies on a read-only file system; set log-dir elsewhere',
    },
  },
  listen: {
    what: ({ source }) => `listen on ${source}`,
    hints: {
      ENOENT: () => 'its directory is missing',
      EADDRINUSE: () => 'somebody else listens there',
    },
  },
  private: { what: () => 'make all mounts private', hints: { EPERM: noPrivilege } },
  root: {
    what: ({ source }) => `take ${source} as the root directory`,
    hints: {
      ENOENT: ({ source }) =>
        `there is no distro; build one with \`emperor distro add\` at ${source}`,
      ENOTDIR: () => 'it is not a directory',
      ELOOP: () => 'it is a symlink; name the real directory',
      EPERM: noPrivilege,
      ENOSYS: notInKernel('open_tree and move_mount (Linux 5.12 is needed)'),
    },
  },
  proc: { what: ({ target }) => `mount ${target}`, hints: { ...mountPoint, EPERM: noPrivilege } },
  tmpfs: {
    what: ({ target }) => `mount a tmpfs on ${target}`,
    hints: { ...mountPoint, EPERM: noPrivilege, ENOMEM: noMemory },
  },
  devpts: {
    what: ({ target }) => `mount a devpts on ${target}`,
    hints: { ...mountPoint, ENODEV: notInKernel('devpts'), EPERM: noPrivilege },
  },
  mqueue: {
    what: ({ target }) => `mount the message queues on ${target}`,
    hints: { ...mountPoint, ENODEV: notInKernel('POSIX message queues'), EPERM: noPrivilege },
  },
  device: {
    what: ({ target }) => `make the device ${target}`,
    hints: { ...made, EPERM: () => 'the emperor lacks CAP_MKNOD, or a device policy forbids it' },
  },
  directory: { what: ({ target }) => `make the directory ${target}`, hints: made },
  file: { what: ({ target }) => `write ${target}`, hints: made },
  symlink: { what: ({ target, text }) => `make the symlink ${target} to ${text}`, hints: made },
  bind: { what: ({ source, target }) => `bind ${source} on ${target}`, hints: bindSource },
  'bind-inside': {
    what: ({ source, target }) => `bind ${source} on ${target}`,
    hints: {
      ENOENT: ({ target }, { distro }) => `the distro has no ${target}; create ${distro}${target}`,
      ELOOP: ({ target }, { distro }) =>
        `${distro}${target} is or lies below a symlink; replace it with a real one`,
      ENOTDIR: () => 'a directory can only be bound on a directory, a file on a file',
    },
  },
  mask: { what: ({ target }) => `hide ${target}` },
  'read-only': { what: ({ target }) => `make ${target} read-only` },
  hostname: {
    what: ({ text }) => `set the hostname ${text}`,
    hints: { EINVAL: () => 'it is longer than 64 bytes', EPERM: noPrivilege },
  },
  sysctl: {
    what: ({ target, text }) => `set ${target.replaceAll('/', '.')} to ${text}`,
    hints: {
      ENOENT: notInKernel('such setting'),
      EINVAL: () => 'the kernel does not take that value',
      EACCES: noPrivilege,
    },
  },
  loopback: {
    what: () => 'bring the loopback interface up',
    hints: {
      EPERM: () =>
        'the emperor lacks CAP_NET_ADMIN; run it as root, or leave net out of emperor-use-clone',
    },
  },
  home: {
    what: ({ source }) => `prepare the home directory ${source}`,
    hints: {
      ENOENT: () => 'the directory above it is missing; create it',
      ENOTDIR: () => 'it is not a directory',
      ELOOP: () => 'it is a symlink; name the real directory',
      ENOSPC: () => 'the disk is full',
      EROFS: () => 'it lies on a read-only file system; set homes elsewhere',
      EPERM: () => 'it belongs to somebody else; give it to the vassal with `chown`',
    },
  },
  image: {
    what: ({ source, target }) => `mount the image ${source} on ${target}`,
    hints: {
      EAGAIN: () => 'somebody else has it open; unmount it there',
      ENOENT: (_, { detail }) => `there is no ${detail}`,
      EBUSY: () => 'no loop device is free',
      EPERM: noPrivilege,
      ENODEV: notInKernel('ext4'),
      EINVAL: (step, context) =>
        context.detail === step.source
          ? 'its file system has no leases (NFS has none); move homes to a local disk'
          : damagedImage(step, context),
      EXDEV: ({ target }) => `somebody has renamed ${target} meanwhile`,
      EUCLEAN: damagedImage,
      EIO: damagedImage,
    },
  },
  hook: {
    what: ({ command }) => `run the hook \`${command}\``,
    hints: {
      ETIMEDOUT: ({ timeoutMs }) =>
        `it was not done within ${timeoutMs / 1000} s and was killed; raise hook-timeout or make it faster`,
      ECHILD: ({ command }, { name, detail }) =>
        `${exitOfHook(command, detail)}; what it printed is in \`emperor logs ${name} --label hook\``,
      EAGAIN: () => 'no further process can be made',
    },
  },
  sweep: { what: () => 'end what the hooks left running' },
  gate: {
    what: () => 'wait for the word of the emperor',
    hints: { ETIMEDOUT: () => 'it did not come; is the emperor alive?' },
  },
  pivot: {
    what: () => 'enter the new root directory',
    hints: { EINVAL: () => 'it is not a mount point of its own', EPERM: noPrivilege },
  },
  rlimit: {
    what: ({ resource, hard }) => `set resource limit ${resource} to ${hard}`,
    hints: {
      EPERM: () => "it is above the emperor's own hard limit and CAP_SYS_RESOURCE is lacking",
      EINVAL: () => 'the soft limit is above the hard one',
    },
  },
  merge: { what: () => 'have equal memory kept once' },
  drop: {
    what: ({ uid, gid }) => `become user ${uid} and group ${gid}`,
    hints: { EPERM: noPrivilege, EAGAIN: () => "the user's process limit is reached" },
  },
  seccomp: {
    what: () => 'load the system call filter',
    hints: {
      EINVAL: () => 'the filter is damaged; build it again with `npm run build`',
      ENOSYS: notInKernel('seccomp'),
    },
  },
  tun: {
    what: ({ target }) => `make the tun ${target}`,
    hints: {
      ENOENT: () => 'there is no /dev/net/tun; load it with `modprobe tun`',
      ENODEV: () => 'the kernel has no tun driver; load it with `modprobe tun`',
      EBUSY: () => 'there is another interface of that name',
      EINVAL: ({ target, mtu }) =>
        `${target} is no name for an interface, or ${mtu} no MTU; mend \`tuntap-device\``,
      EPERM: () => 'the emperor lacks CAP_NET_ADMIN; run it as root',
    },
  },
  address: {
    what: ({ target }) => `give ${target} its address`,
    hints: {
      EADDRNOTAVAIL: () =>
        'nobody says which; set `address` in its file or `tuntap-router-address` in emperor.ini, or have `exec-as-root` set one',
      EEXIST: (step, { detail }) =>
        `\`exec-as-root\` set ${detail}, but \`${optionOf(detail)}\` is ${step[optionOf(detail)]}; make them agree, or leave one out`,
      EMLINK: (_, { detail }) =>
        `\`exec-as-root\` set more than one, ${detail}; leave one of a family`,
      EINVAL: (_, { detail }) => `${detail} is no address for it; mend \`${optionOf(detail)}\``,
      ENODEV: ({ target }) =>
        `it is gone; \`exec-as-root\` must neither remove nor rename ${target}`,
    },
  },
};

/** Returns the sentence for an operator about a step of `plan` that failed. */
export function stepFailure(plan: JailPlan, failed: FailedStep): string {
  const errno = errnoName(failed.errno);
  const step = failed.step === null ? undefined : plan.steps[failed.step];
  if (!step) return outsideFailure(plan, failed);
  const context = contextOf(plan, failed);
  // The table is total by its type; TypeScript cannot see that step.op picks the fitting row.
  const telling = TELLINGS[step.op] as Telling<Step>;
  const reason = telling.hints?.[errno]?.(step, context) ?? aboutDetail(step, context.detail);
  return visible(
    `Cannot ${telling.what(step)} in vassal ${plan.name} ` +
      `(step ${(failed.step ?? 0) + 1} \`${step.op}\`): ${errno}${reason === '' ? '' : `, ${reason}`}`,
  );
}

function contextOf(plan: JailPlan, { detail }: FailedStep): Context {
  const root = plan.steps.find((step) => step.op === 'root');
  return { name: plan.name, distro: root?.source ?? 'DISTRO', detail };
}

/** The path that init names, unless the sentence has it already. */
function aboutDetail(step: Step, detail: string): string {
  const isKnown = Object.values(step).some((value) => value === detail);
  return detail === '' || isKnown ? '' : `at ${detail}`;
}

function outsideFailure(plan: JailPlan, { errno, detail }: FailedStep): string {
  const name = errnoName(errno);
  const reason = OUTSIDE_HINTS[name]?.(plan) ?? '';
  const about = [detail, reason].filter(Boolean).join('; ');
  return visible(`Cannot make the jail of vassal ${plan.name}: ${name}${about && `, ${about}`}`);
}

const OUTSIDE_HINTS: Readonly<Record<string, (plan: JailPlan) => string>> = {
  EEXIST: ({ name }) => `an init of ${name} is alive; stop it first`,
  EAGAIN: () => 'no further process can be made (kernel.pid_max, pids.max)',
  ENOSPC: () => 'a limit on namespaces is reached; see `sysctl user | grep max_`',
  ENOMEM: noMemory,
  EPERM: noPrivilege,
  EINVAL: ({ namespaces }) =>
    `this kernel lacks one of the namespaces ${namespaces.join(', ')}, or the launcher is of another version`,
};

function optionOf(address: string): AddressName {
  return address.includes(':') ? 'address6' : 'address';
}

/** init's DETAIL of a failed hook is `TEXT: exit status N`; the text stands in the sentence already. */
function exitOfHook(command: string, detail: string): string {
  const how = detail.startsWith(`${command}: `) ? detail.slice(command.length + 2) : detail;
  return how === '' ? 'it failed' : `it ended with ${how}`;
}
