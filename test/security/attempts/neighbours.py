"""What a neighbour has, and what the host has: files, queues, memory, sockets. victim.py is who has them."""
import ctypes
import mmap
import os
import socket

from attack import WORLD, call, done, opened, theme

cannot = theme('Neighbours and the host')
THEIRS = {'without': 'namespaces'}
KEY = 0x5EED


def any_of(paths, act):
    """Succeeds if `act` does with one of them; fails as the last one does."""

    def tries():
        error = RuntimeError('no paths')
        for path in paths():
            try:
                act(path)
                return True
            except OSError as one:
                error = one
        raise error

    return tries


def connect(address, family=socket.AF_UNIX, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as one:
        one.settimeout(WORLD['patience'])
        one.connect(address)


cannot("read a neighbour's secret, by any path that host or vassal know it by", 'F22 M8', 'ENOENT|EACCES',
       any_of(lambda: WORLD['secrets'], lambda path: os.close(os.open(path, os.O_RDONLY))), **THEIRS)
cannot("write to a neighbour's home, by any path that host or vassal know it by", 'M8', 'ENOENT|EACCES',
       any_of(lambda: WORLD['secrets'], lambda path: os.close(os.open(path + '.new', os.O_WRONLY | os.O_CREAT))), **THEIRS)
cannot("connect to a neighbour's, its init's or the emperor's socket, by any path", 'C14 C12 M9', 'ENOENT|EACCES',
       any_of(lambda: WORLD['sockets'], connect), **THEIRS)
cannot("connect to a neighbour's, or the host's, abstract socket", 'R10 M9', 'ECONNREFUSED',
       lambda: connect('\0canary-of-emperor-tests'), **THEIRS)
cannot("connect to what a neighbour, or the host, serves on 127.0.0.1", 'N02 M9', 'ECONNREFUSED',
       lambda: connect(('127.0.0.1', WORLD['port']), socket.AF_INET), **THEIRS)
cannot("connect to what a neighbour, or the host, serves on ::1", 'N03 M9', 'ECONNREFUSED',
       lambda: connect(('::1', WORLD['port']), socket.AF_INET6), **THEIRS)


def datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(WORLD['patience'])
        one.connect(('127.0.0.1', WORLD['port']))
        one.send(b'?')
        one.recv(1)


cannot('be answered by what they serve on 127.0.0.1 by UDP', 'N02 M9', 'ECONNREFUSED', datagram, **THEIRS)
for name, family in (('shared memory', 'shmget'), ('semaphores', 'semget'), ('message queues', 'msgget')):
    arguments = (KEY, 0) if family == 'msgget' else (KEY, 0, 0)
    cannot(f"find a neighbour's {name} of System V", 'R09 M10', 'ENOENT',
           lambda family=family, arguments=arguments: call(family, *arguments), **THEIRS)
cannot("open a neighbour's POSIX message queue", 'R09 M10', 'ENOENT', lambda: call('mq_open', b'canary', 0, 0, 0), **THEIRS)
cannot("open a neighbour's POSIX shared memory", 'R09 M10', 'ENOENT', opened('/dev/shm/canary'), **THEIRS)
cannot("see a neighbour's files in /tmp and /run", 'M28 M31', 'nothing',
       lambda: os.path.exists('/tmp/canary') or os.path.exists('/run/canary'), **THEIRS)


def owners(directory):
    """Whose the things with numbers in it are, as far as they stay."""
    found = []
    for name in filter(str.isdigit, os.listdir(directory)):
        try:
            found.append(os.stat(os.path.join(directory, name)).st_uid)
        except OSError:
            continue
    return found


def of_others(directory):
    return [uid for uid in owners(directory) if uid != WORLD['uid']]


cannot('find a terminal that is not its own', 'M30', 'nothing', lambda: of_others('/dev/pts'), without='capabilities',
       prepare=os.openpty)
cannot('see a process of anybody else', 'P04 M7', 'nothing', lambda: of_others('/proc'), without='pids')
cannot("read what was said to the emperor, the host's log or another's", 'M8', 'ENOENT|EACCES',
       any_of(lambda: WORLD['logs'], lambda path: os.close(os.open(path, os.O_RDONLY))), **THEIRS)


def mergeable():
    """Pages that are the same somewhere else become one (KSM), and a write tells by its time that they were."""
    pages = mmap.mmap(-1, 4096)
    call('madvise', ctypes.addressof(ctypes.c_char.from_buffer(pages)), 4096, MADV_MERGEABLE)


MADV_MERGEABLE, PR_SET_MEMORY_MERGE = 12, 67
cannot('learn what is in the memory of others by having its own merged with it (madvise)', 'M83 M13', 'EINVAL', mergeable,
       without='filter', control='succeeded|EINVAL')
cannot('have all of its memory merged with that of others (prctl)', 'M83 M13', 'EPERM', done('prctl', PR_SET_MEMORY_MERGE, 1, 0, 0, 0),
       without='filter', control='succeeded|EINVAL')
