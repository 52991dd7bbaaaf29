"""PID 1 of a vassal has its tenant's uid: what would be anybody's right towards a process of his own is refused there.

In controls the target is another process of that uid, or PID 1 without the filter.
"""
import ctypes
import os
import struct

from attack import call, done, opened, target, theme

cannot = theme('PID 1')
OTHER = 'init'


for name in ('environ', 'maps', 'auxv', 'mem', 'io', 'syscall', 'stack', 'pagemap'):
    cannot(f'open /proc/1/{name}', 'P05 M7', 'EACCES|EPERM', lambda name=name: opened(f'/proc/{target()}/{name}')(), without=OTHER)
for name in ('fd', 'map_files', 'task/1/fd'):
    cannot(f'list /proc/1/{name}', 'P05 P06', 'EACCES',
           lambda name=name: os.listdir(f'/proc/{target()}/{name.replace("1", str(target()))}'), without=OTHER)
for name in ('root', 'cwd', 'exe', 'ns/mnt', 'ns/net'):
    cannot(f'follow /proc/1/{name}', 'P05 F03 M26', 'EACCES', lambda name=name: os.stat(f'/proc/{target()}/{name}'),
           without=OTHER)
for name in ('oom_score_adj', 'comm', 'clear_refs', 'coredump_filter'):
    cannot(f'write to /proc/1/{name}', 'F09', 'EACCES', lambda name=name: opened(f'/proc/{target()}/{name}', os.O_WRONLY)(),
           without=OTHER)
cannot('write to /proc/1/autogroup', 'F09', 'EACCES|ENOENT', lambda: opened(f'/proc/{target()}/autogroup', os.O_WRONLY)(),
       without=OTHER, control='succeeded|ENOENT')
cannot('read or overwrite the program of PID 1 (CVE-2019-5736)', 'F17', 'EACCES', lambda: opened(f'/proc/{target()}/exe')(),
       without=OTHER)


def overwrite_any():
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            found.append(os.open(f'/proc/{pid}/exe', os.O_WRONLY))
        except OSError:
            continue
    return found


cannot('overwrite the program of any process that it sees', 'F17', 'nothing', overwrite_any,
       because='a program that runs is written to by nobody (ETXTBSY)')
cannot('ask for its list of robust futexes', 'P05', 'EPERM',
       lambda: call('get_robust_list', target(), ctypes.create_string_buffer(8), ctypes.create_string_buffer(8)), without=OTHER)

# ── what the filter refuses where PID 1 is the target ──

PTRACE_SEIZE, PRIO_PROCESS, PRIO_GROUP, PRIO_USER = 0x4206, 0, 1, 2
RLIMIT_NOFILE = 7
limit = ctypes.create_string_buffer(16)
priority = ctypes.create_string_buffer(4)


def of_init(what, ids, attack, control='succeeded', without='filter'):
    cannot(what, ids, 'EPERM', attack, without=without, control=control)


cannot('trace PID 1', 'S03 M7', 'EPERM', lambda: call('ptrace', PTRACE_SEIZE, target(), 0, 0), without='filter init')


def memory_of(name):
    """A byte between an own buffer and what is at 0x10000 there, where nobody has anything."""
    own = ctypes.create_string_buffer(1)
    here = ctypes.create_string_buffer(struct.pack('2Q', ctypes.addressof(own), 1), 16)
    there = ctypes.create_string_buffer(struct.pack('2Q', 0x10000, 1), 16)
    call(name, target(), here, 1, there, 1, 0)


for what, name in (('read the memory of PID 1', 'process_vm_readv'), ('write to the memory of PID 1', 'process_vm_writev')):
    cannot(what, 'S03 M7', 'EPERM', lambda name=name: memory_of(name), without='filter init', control='EFAULT')
of_init('hold PID 1 by a pidfd', 'S03', done('pidfd_open', 1, 0))
of_init('take a descriptor out of a process by pidfd_getfd', 'S03',
        lambda: call('pidfd_getfd', call('pidfd_open', os.getpid(), 0), 0, 0))
of_init('advise a process about its memory', 'S03', done('process_madvise', -1, 0, 0, 0, 0), 'EBADF|EINVAL')
of_init('compare what processes have open', 'S03', lambda: call('kcmp', os.getpid(), os.getpid(), 1, 0, 0))
of_init("move a process's pages", 'S03', lambda: call('move_pages', os.getpid(), 0, 0, 0, 0, 0))
of_init("move all of a process's pages to other memory", 'S03', lambda: call('migrate_pages', os.getpid(), 0, 0, 0), 'EINVAL')
of_init('read or set limits of PID 1', 'S03', done('prlimit64', 1, RLIMIT_NOFILE, 0, limit))
of_init('set limits of PID 1 with bits above a pid', 'S03', done('prlimit64', 0x100000001, RLIMIT_NOFILE, 0, limit))
of_init('change the nice value of PID 1', 'S03', done('setpriority', PRIO_PROCESS, 1, 0))
of_init('change the nice value of the group of PID 1', 'S03', done('setpriority', PRIO_GROUP, 1, 0))
of_init('change the nice value of all of its uid', 'S03', done('setpriority', PRIO_USER, 0, 0))
of_init('change the priority of input and output of PID 1', 'S03', done('ioprio_set', 1, 1, 0))
of_init('put PID 1 on one processor', 'S03', done('sched_setaffinity', 1, 8, ctypes.create_string_buffer(b'\xff' * 8, 8)))
of_init('change the scheduler of PID 1', 'S03', done('sched_setscheduler', 1, 0, priority))
of_init('change parameters of the scheduler of PID 1', 'S03', done('sched_setparam', 1, priority))
of_init('change attributes of the scheduler of PID 1', 'S03',
        done('sched_setattr', 1, ctypes.create_string_buffer(struct.pack('I', 48), 48), 0))
