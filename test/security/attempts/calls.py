"""System calls that only the machine's administrator, or nobody, should make. Arguments are such that nothing happens even
where a call is let through: controls are made by root of this machine."""
import ctypes
import fcntl
import mmap
import os
import struct
import termios

from attack import call, done, number, theme

cannot = theme('System calls')
ROOTS_ONLY = 'filter capabilities'
BAD = 1  # no pointer


def refused(what, name, *arguments, control='succeeded', answer='EPERM', without=ROOTS_ONLY, ids='S03'):
    cannot(f'{what} ({name})', ids, answer, done(name, *arguments), without=without, control=control)


refused('load programs into the kernel', 'bpf', -1, 0, 0, control='EINVAL')
refused('watch the machine by its counters', 'perf_event_open', BAD, 0, -1, -1, 0, control='EFAULT')
refused('serve page faults of the kernel', 'userfaultfd', 0x7fffffff, control='EINVAL')
refused('see keys of its session, or of others', 'keyctl', 0, -3, 0, ids='S03 S06', without='filter')
refused('add a key', 'add_key', BAD, BAD, 0, 0, 0, control='EFAULT', ids='S03 S06', without='filter')
refused('have the kernel ask the host for a key', 'request_key', BAD, BAD, 0, 0, control='EFAULT', ids='S03 S06', without='filter')
refused('load a module', 'init_module', BAD, 0, BAD, control='EFAULT|ENOEXEC|ENOSYS')
refused('load a module from a file', 'finit_module', -1, BAD, 0, control='EBADF|EFAULT|ENOSYS')
refused('unload a module', 'delete_module', BAD, 0, control='EFAULT|ENOSYS')
refused('load another kernel', 'kexec_load', 0, 0, 0, 0xffff, control='EINVAL|EPERM|ENOSYS')
refused('load another kernel from a file', 'kexec_file_load', -1, -1, 0, 0, 0x7fffffff, control='EINVAL|EPERM|ENOSYS')
refused('reach for ports of the machine', 'iopl', 0, control='succeeded|ENOSYS')
refused('reach for some ports of the machine', 'ioperm', 0, 1, 0, control='succeeded|ENOSYS')
refused("read the kernel's log", 'syslog', 10, 0, 0, ids='S03 F10')
refused("do anything else to the kernel's log", 'syslog', 99, 0, 0, control='EINVAL', ids='S03 F10')
refused('have processes accounted to a file', 'acct', BAD, control='EFAULT')
refused('change quotas', 'quotactl', 0x800002, BAD, 0, 0, control='EFAULT|ENODEV|ENOSYS|EINVAL')
refused('change quotas by a descriptor', 'quotactl_fd', -1, 0, 0, 0, control='EBADF|EINVAL|ENOSYS')
refused('add swap', 'swapon', BAD, 0, control='EFAULT')
refused('take swap away', 'swapoff', BAD, control='EFAULT')
refused('restart the machine', 'reboot', 0, 0, 0, control='EINVAL')
refused('set the clock', 'settimeofday', BAD, 0, control='EFAULT')
refused('set a clock', 'clock_settime', 99, BAD, control='EINVAL')
refused('change its host name', 'sethostname', b'mine', 4, ids='S03 M13')
refused('change its domain name', 'setdomainname', b'mine', 4)
refused('hang up a terminal', 'vhangup')
refused('change segments for 16-bit code', 'modify_ldt', 0, 0, 0, answer='ENOSYS', without='filter',
        control='succeeded|ENOSYS')
refused('have memory that not even the kernel can move', 'memfd_secret', 0, answer='ENOSYS', without='filter',
        control='succeeded|ENOSYS')
refused('make calls that no filter sees', 'io_uring_setup', 1, 0, answer='ENOSYS', without='filter', control='EFAULT|EPERM')

# struct timex begins with modes; the tick stands at 88 on 64 bits. A tick of 1 is no tick.
TICK = struct.pack('I', 0x4000).ljust(88, b'\0') + struct.pack('q', 1)
cannot('tune the clock (adjtimex)', 'S03', 'EPERM', lambda: call('adjtimex', ctypes.create_string_buffer(TICK, 208)),
       without='capabilities', control='EINVAL')
cannot('tune a clock (clock_adjtime)', 'S03', 'EPERM',
       lambda: call('clock_adjtime', 0, ctypes.create_string_buffer(TICK, 208)), without='capabilities', control='EINVAL')
cannot('make a call of x32', 'S01', 'SIGSYS', lambda: number(0x40000000 | 39), without='filter', control='succeeded|ENOSYS')


def by_i386():
    """getpid of i386, by int 0x80."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b'\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3')
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid()


cannot('make a call of i386, by int 0x80', 'S01', 'SIGSYS', by_i386, without='filter', control='succeeded|SIGSEGV')
cannot('make a call that Linux does not have yet', 'S01', 'ENOSYS', lambda: number(511),
       because='there is none to be made; every number is in test/fixtures/syscalls.golden')

# ── terminals ──

TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSETD = 0x5412, 0x541C, 0x541D, 0x5423


def typed(request):
    return lambda: call('ioctl', os.openpty()[1], request, ctypes.create_string_buffer(b'x', 1))


for how, request in (('by TIOCSTI (CVE-2017-5226)', TIOCSTI),
                     ('by TIOCSTI with bits above (CVE-2019-7303)', 0x100000000 | TIOCSTI)):
    cannot(f'type into a terminal {how}', 'S05', 'EPERM', typed(request), without=ROOTS_ONLY)


def take_terminal():
    os.setsid()
    fcntl.ioctl(os.openpty()[1], termios.TIOCSCTTY, 0)


cannot('type into the terminal that it is on, for whoever reads there next', 'S05 C13', 'EPERM|ENXIO',
       lambda: call('ioctl', os.open('/dev/tty', os.O_RDWR), TIOCSTI, ctypes.create_string_buffer(b'x', 1)), without=ROOTS_ONLY,
       prepare=take_terminal)
cannot('paste into a console by TIOCLINUX', 'S05', 'EPERM', typed(TIOCLINUX), without=ROOTS_ONLY, control='ENOTTY')
cannot('have another line discipline on a terminal (CVE-2017-2636)', 'S05', 'EPERM',
       lambda: call('ioctl', os.openpty()[1], TIOCSETD, ctypes.create_string_buffer(4)), without='filter')
cannot('have what the console says on a terminal of its own (TIOCCONS)', 'S05', 'EPERM', typed(TIOCCONS),
       because="it would take this machine's console away")
