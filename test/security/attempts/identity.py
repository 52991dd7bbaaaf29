"""Who a tenant's process is, what it came with, and that it becomes nobody else."""
import ctypes
import os
import signal

from attack import WORLD, call, done, read, status_of, theme

cannot = theme('Identity and privileges')

PR_SET_SECUREBITS = 28
# SIGPIPE and SIGXFSZ
PYTHONS_OWN = 1 << 12 | 1 << 24
SETS = ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb')

cannot('have a capability in any of the five sets', 'S02 M13', 'nothing', lambda: any(int(status_of(one), 16) for one in SETS),
       without='capabilities')
cannot('run where new privileges can be had', 'S02 S11 M13', 'nothing', lambda: status_of('NoNewPrivs') != '1',
       without='privileges')
cannot('run without the system call filter', 'S02', 'nothing', lambda: status_of('Seccomp') != '2', without='filter')
cannot('be anybody but its own uid and gid, in any of their kinds', 'S02 S11 M41', 'nothing',
       lambda: {*status_of('Uid').split(), *status_of('Gid').split()} != {str(WORLD['uid'])}, without='capabilities')
cannot('be in a group besides', 'S02', 'nothing', lambda: os.getgroups(), without='capabilities',
       prepare=lambda: os.setgroups([5]))
def leaked():
    """Descriptors besides what the attacker itself has opened, and its own three where those are what they should be."""
    found = {}
    for fd in map(int, os.listdir('/proc/self/fd')):
        try:
            path = os.readlink(f'/proc/self/fd/{fd}')
        except OSError:
            continue  # what listed them
        is_own = fd < 3 and path.startswith(('pipe:', 'socket:', '/dev/pts/', '/dev/null'))
        if not is_own and fd not in WORLD['opened']:
            found[fd] = path
    return found


cannot('come with a descriptor of anything but its input, output and errors', 'P06 F18 F34', 'nothing', leaked, without='fresh',
       prepare=lambda: os.open('/', os.O_PATH))
cannot('come with signals that are ignored or blocked', 'S02', 'nothing', lambda: int(status_of('SigBlk'), 16) != 0
       or int(status_of('SigIgn'), 16) & ~PYTHONS_OWN != 0, without='fresh',
       prepare=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))


cannot('be root by setuid', 'M41', 'EPERM', lambda: os.setuid(0), without='capabilities')
cannot('be root by one of its three uids', 'M41', 'EPERM', lambda: os.setresuid(-1, 0, -1), without='capabilities')
cannot('be in the group of root by setgid', 'M41', 'EPERM', lambda: os.setgid(0), without='capabilities')
cannot('be another tenant', 'M41 M8', 'EPERM', lambda: os.setuid(WORLD['uid'] + 1), without='capabilities')
cannot('join a group by setgroups', 'M41', 'EPERM', lambda: os.setgroups([0]), without='capabilities')


def file_system_uid():
    call('setfsuid', 0)
    return call('setfsuid', -1) == 0


cannot('reach for files as root by setfsuid', 'M41', 'nothing', file_system_uid, without='capabilities')


def capset(effective):
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(effective, effective, 0, 0, 0, 0)
    call('capset', head, data)


cannot('take a capability by capset', 'S02', 'EPERM', lambda: capset(1 << 21), without='capabilities')
cannot('change what uid 0 would mean by securebits', 'S02', 'EPERM', done('prctl', PR_SET_SECUREBITS, 0, 0, 0, 0),
       without='capabilities')
cannot('have all that its programs read be executable (personality)', 'M13', 'ENOSYS', done('personality', 0x400000),
       without='filter')
cannot('map page 0 into its programs (personality)', 'M13', 'ENOSYS', done('personality', 0x100000), without='filter')


def told_by_environments():
    """Anything of whoever started all this, in the environment of any process that can be read."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            text = read(f'/proc/{pid}/environ', 1 << 20)
        except OSError:
            continue
        found += [word for word in (b'canary-of-the-emperor', b'canary-of-a-neighbour') if word in text]
    return found


cannot('read an environment of the emperor, the host or a neighbour', 'P05 S13 M8', 'nothing', told_by_environments,
       without='namespaces')
