"""More than others: limits, priorities, and who is killed first."""
import ctypes
import os
import resource
import socket
import struct

from attack import call, done, read, theme

cannot = theme('Limits and priorities')
SOMEBODYS_RIGHT = 'CAP_SYS_RESOURCE, by which it would be possible, is not to be had on every machine'

# struct sched_attr: SCHED_DEADLINE, 10 ms of each 100.
DEADLINES = struct.pack('IIQiIQQQ', 48, 6, 0, 0, 0, 10**7, 10**8, 10**8)


def raise_limit(which, value):
    return lambda: call('setrlimit', which, ctypes.create_string_buffer(struct.pack('2Q', value, value), 16))


def write_own(name, text):
    return lambda: os.write(os.open(f'/proc/self/{name}', os.O_WRONLY), text)


cannot('have more descriptors than it was given', 'S09 R04', 'EPERM', raise_limit(resource.RLIMIT_NOFILE, 8192), without='limits')


def limit_of_cores(value):
    """Sets it, and tells whether it is that now: the answer may be a lie."""

    def sets():
        raise_limit(resource.RLIMIT_CORE, value)()
        return resource.getrlimit(resource.RLIMIT_CORE)[0] == value

    return sets


cannot('have memory dumped to files', 'S09 F35', 'nothing', limit_of_cores(1 << 20), without='filter limits')
cannot("have the host's root work on its crashes, by a limit of 0", 'F35', 'nothing', limit_of_cores(0), without='filter')
cannot('begin as little in danger as its init where memory ends', 'S10', 'nothing',
       lambda: int(read('/proc/self/oom_score_adj')) < 200, without='fresh', prepare=write_own('oom_score_adj', b'0'))
cannot('be killed later than others where memory ends', 'S10', 'EACCES', write_own('oom_score_adj', b'-1'), because=SOMEBODYS_RIGHT)
cannot('be never killed where memory ends', 'S10', 'EACCES', write_own('oom_score_adj', b'-1000'), because=SOMEBODYS_RIGHT)
cannot('run before others by its nice value', 'M12', 'EACCES', lambda: call('setpriority', 0, 0, -5), without='capabilities')
for name, policy in (('first in, first out', 1), ('round robin', 2)):
    cannot(f'run before everybody by the real-time scheduler ({name})', 'M12', 'EPERM',
           lambda policy=policy: call('sched_setscheduler', 0, policy, ctypes.create_string_buffer(struct.pack('i', 1), 4)),
           without='capabilities', control='succeeded|EPERM')
cannot('run by deadlines', 'M12', 'EPERM',
       lambda: call('sched_setattr', 0, ctypes.create_string_buffer(DEADLINES, 48), 0),
       without='capabilities', control='succeeded|EPERM|EBUSY')
cannot('read and write disks before everybody', 'M12', 'EPERM', lambda: call('ioprio_set', 1, 0, 1 << 13 | 4),
       without='capabilities')
cannot('have all contexts of asynchronous input and output that the machine has (fs.aio-max-nr)', 'R04', 'ENOSYS',
       lambda: call('io_setup', 1, ctypes.create_string_buffer(8)), without='filter')
HUGE_PAGE = 1 << 21
for how, name, arguments, control in (
        ('map', 'mmap', (0, HUGE_PAGE, 3, 0x40022, -1, 0), 'succeeded|ENOMEM'),
        ('have a file of', 'memfd_create', (b'huge', 4), 'succeeded|ENOSYS'),
        ('share by System V', 'shmget', (0, HUGE_PAGE, 0o5600), 'succeeded|EPERM|ENOMEM')):
    cannot(f"{how} huge pages of the host's reserve, which no limit counts", 'R04 M11', 'EPERM', done(name, *arguments),
           without='filter', control=control)
cannot('have nobody beside it on its core, which no limit counts (PR_SCHED_CORE)', 'R06 M12', 'EPERM',
       done('prctl', 62, 1, 0, 0, 0), without='filter', control='succeeded|EINVAL|ENODEV')


def socket_program(option):
    """The shortest: takes all there is."""
    program = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0xffff), 8)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.bind(('127.0.0.1', 0))
        one.setsockopt(socket.SOL_SOCKET, option, struct.pack('HxxxxxxQ', 1, ctypes.addressof(program)))


for name, option in (('SO_ATTACH_FILTER', 26), ('SO_ATTACH_REUSEPORT_CBPF', 51)):
    cannot(f'have the kernel compile programs for sockets, in memory that no limit counts ({name})', 'R04 M11', 'EPERM',
           lambda option=option: socket_program(option), without='filter')


def own_filter():
    """One that allows everything."""
    program = ctypes.create_string_buffer(struct.pack('HBBI', 6, 0, 0, 0x7fff0000), 8)
    named = ctypes.create_string_buffer(struct.pack('HxxxxxxQ', 1, ctypes.addressof(program)), 16)
    call('prctl', 22, 2, ctypes.addressof(named), 0, 0)


cannot('have the kernel compile system call filters, in memory that no limit counts', 'R04 M11', 'EINVAL', own_filter,
       without='filter')
