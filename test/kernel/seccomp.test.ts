/** The system call filter: each call without and with it, as root, so that only the filter can refuse. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NATIVE } from '../../src/base/checkout.ts';
import { loadSeccompFilter } from '../../src/jail/seccomp.ts';
import { errnoName } from '../../src/linux/errno.ts';
import { compileFixture } from '../support/compile.ts';

const KILLED = `signal ${constants.signals.SIGSYS}`;

/** What the filter must say; everything else is told by the control. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  EPERM: [
    ...['mount', 'umount2', 'pivot_root', 'chroot', 'fsopen', 'fsconfig', 'fsmount', 'fspick'],
    ...['open_tree', 'move_mount', 'mount_setattr', 'open_tree_attr', 'setns', 'unshare'],
    ...['clone_newns', 'clone_newcgroup', 'clone_newuts', 'clone_newipc', 'clone_newuser'],
    ...['clone_newpid', 'clone_newnet', 'clone_newnet_high'],
    ...[
      'bpf',
      'perf_event_open',
      'userfaultfd',
      'fanotify_init',
      'keyctl',
      'add_key',
      'request_key',
    ],
    ...['kexec_load', 'kexec_file_load', 'init_module', 'finit_module', 'delete_module'],
    ...['open_by_handle_at', 'syslog', 'acct', 'swapon', 'swapoff', 'reboot', 'quotactl'],
    ...['quotactl_fd', 'settimeofday', 'clock_settime', 'sethostname', 'setdomainname'],
    ...['iopl', 'ioperm', 'vhangup'],
    ...['ioctl_tiocsti', 'ioctl_tiocsti_high', 'ioctl_tioclinux', 'ioctl_tiocsetd'],
    ...['mmap_hugetlb', 'memfd_hugetlb', 'shmget_hugetlb', 'prctl_sched_core'],
    ...['prctl_sched_core_high', 'setsockopt_filter', 'setsockopt_filter_high', 'setsockopt_bpf'],
    ...['setsockopt_reuseport_cbpf', 'setsockopt_reuseport_ebpf'],
    ...['prlimit_init', 'prlimit_init_high', 'setpriority_init', 'setpriority_init_high'],
    ...['setpriority_group', 'setpriority_user', 'setpriority_user_high'],
    ...['ioprio_init', 'ioprio_group', 'ioprio_user'],
    ...['sched_setaffinity_init', 'sched_setscheduler_init', 'sched_setparam_init'],
    ...['sched_setattr_init', 'move_pages_init', 'migrate_pages_init'],
    ...['process_vm_readv_init', 'process_vm_writev_init', 'pidfd_open_init', 'ptrace_init'],
    ...['kcmp_first', 'kcmp_second', 'process_madvise', 'pidfd_getfd', 'prctl_merge'],
  ],
  ENOSYS: [
    ...['clone3', 'io_setup', 'io_uring_setup', 'io_uring_enter', 'io_uring_register'],
    ...['personality_exec', 'personality_exec_high'],
    ...['io_destroy', 'io_submit', 'io_cancel', 'io_getevents', 'io_pgetevents'],
    ...['modify_ldt', 'vmsplice', 'name_to_handle_at'],
  ],
  EAFNOSUPPORT: [
    ...['socket_unspec', 'socket_packet', 'socket_packet_high', 'socket_alg', 'socket_vsock'],
    'socketpair_tipc',
  ],
  EPROTONOSUPPORT: [
    ...['socket_netlink_diag', 'socket_netlink_xfrm', 'socket_netlink_high'],
    ...['socket_udplite', 'socket_udplite_high', 'socket_dccp'],
    ...['socket_dccp_number', 'socket_l2tp', 'socket_sctp'],
  ],
  EINVAL: [
    ...['madvise_mergeable', 'seccomp_filter', 'seccomp_filter_high'],
    ...['prctl_seccomp', 'prctl_seccomp_high'],
  ],
  ok: ['setrlimit_core', 'prlimit_core', 'prlimit_core_high'],
  [KILLED]: ['x32_getpid', 'i386_getpid'],
};

const ALLOWED = [
  ...['seccomp_asks', 'setsockopt_tcp', 'mmap_plain', 'memfd_plain', 'shmget_plain'],
  ...['clone_plain', 'ioctl_fionread', 'socket_unix', 'socket_inet', 'socket_inet6'],
  ...['socketpair_unix', 'personality_query', 'personality_query_high', 'personality_no_random'],
  ...[
    'socket_tcp',
    'socket_mptcp',
    'socket_netlink',
    'prlimit_self',
    'setpriority_self',
    'setpriority_own_group',
  ],
  ...['prlimit_core_read', 'setrlimit_files', 'prctl_name', 'madvise_free'],
  ...['ioprio_self', 'sched_setaffinity_self', 'pidfd_open_other', 'ptrace_other', 'getpid'],
];

interface Result {
  readonly control: string;
  readonly filtered: string;
}

function resultOf(word: string): string {
  return /^\d+$/.test(word) ? errnoName(Number(word)) : word;
}

describe('the system call filter', () => {
  let directory: string;
  let results: ReadonlyMap<string, Result>;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'emperor-seccomp-'));
    const program = join(directory, 'probes-seccomp');
    compileFixture('probes-seccomp', program);
    const output = execFileSync(program, [join(NATIVE, 'seccomp.bpf')], {
      encoding: 'utf8',
    });
    results = new Map(
      [...output.matchAll(/^(\S+) (.+) \| (.+)$/gm)].map(
        ([, name = '', control = '', filtered = '']) =>
          [name, { control: resultOf(control), filtered: resultOf(filtered) }] as const,
      ),
    );
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  for (const [refusal, names] of Object.entries(REFUSED)) {
    test.each(names)(`answers ${refusal} to %s, which the kernel would not refuse so`, (name) => {
      expect(results.get(name)?.filtered).toBe(refusal);
      // A kernel without a socket family or protocol says the same as the filter.
      if (!/^E(AF|PROTO)NOSUPPORT$/.test(refusal))
        expect(results.get(name)?.control).not.toBe(refusal);
    });
  }

  test.each(ALLOWED)('leaves %s as it is', (name) => {
    const result = results.get(name);
    expect(result?.filtered).toBe(result?.control);
  });

  test('has nothing untold: every probe stands in one of the lists', () => {
    const told = [...Object.values(REFUSED).flat(), ...ALLOWED].sort();
    expect([...results.keys()].sort()).toEqual(told);
  });

  test('is loaded as whole instructions', () => {
    expect(loadSeccompFilter().length % 8).toBe(0);
    expect(() => loadSeccompFilter(directory)).toThrow(/is missing; run `npm run build`/);
  });
});
