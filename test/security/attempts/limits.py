"""More than others: limits, priorities, and who is killed first."""
import ctypes
import os
import resource
import struct

from attack import call, theme

cannot = theme('Limits and priorities')
SOMEBODYS_RIGHT = 'CAP_SYS_RESOURCE, by which it would be possible, is not to be had on every machine'

# struct sched_attr: SCHED_DEADLINE, 10 ms of each 100.
DEADLINES = struct.pack('IIQiIQQQ', 48, 6, 0, 0, 0, 10**7, 10**8, 10**8)


def raise_limit(which, value):
    return lambda: call('setrlimit', which, ctypes.create_string_buffer(struct.pack('2Q', value, value), 16))


def write_own(name, text):
    return lambda: os.write(os.open(f'/proc/self/{name}', os.O_WRONLY), text)


cannot('have more descriptors than it was given', 'S09 R04', 'EPERM', raise_limit(resource.RLIMIT_NOFILE, 8192), without='limits')


def dumps():
    """Whether it is told that it was done or not."""
    raise_limit(resource.RLIMIT_CORE, 1 << 20)()
    return resource.getrlimit(resource.RLIMIT_CORE)[0] == 1 << 20


cannot('have memory dumped to files', 'S09 F35', 'EPERM|nothing', dumps, without='filter limits')
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
