"""Mounts, namespaces and roots: what most escapes of the last years begin with."""
import ctypes
import os
import struct

from attack import WORLD, call, done, runs, theme

cannot = theme('Mounts and namespaces')
ROOTS_ONLY = 'filter capabilities'

MS_RDONLY, MS_REMOUNT, MS_BIND, MS_MOVE = 1, 32, 4096, 8192
MNT_DETACH = 2
AT_FDCWD = -100


def mount(source, target, kind, flags=0):
    call('mount', source, target, kind, flags, 0)


def remount(path):
    """Makes a mount writable; what controls of read-only mounts begin with."""
    return lambda: mount(0, path, 0, MS_REMOUNT | MS_BIND)


cannot('mount a file system of its own', 'F01 M13', 'EPERM', lambda: mount(b'none', b'.', b'tmpfs'), without=ROOTS_ONLY)
cannot('mount a /proc without covers', 'F01 M27', 'EPERM', lambda: mount(b'none', b'.', b'proc'), without=ROOTS_ONLY)
cannot('mount a /sys', 'F01 F11', 'EPERM', lambda: mount(b'none', b'.', b'sysfs'), without=ROOTS_ONLY)
cannot('mount cgroups, to name a release_agent', 'R01', 'EPERM',
       lambda: mount(b'none', b'.', b'cgroup2'), without=ROOTS_ONLY)
cannot('bind its root to another place', 'F01 M25', 'EPERM', lambda: mount(b'/', b'.', 0, MS_BIND), without=ROOTS_ONLY)
cannot('move a mount', 'F01', 'EPERM', lambda: mount(b'/var/tmp', b'.', 0, MS_MOVE), without=ROOTS_ONLY)
cannot('make its root writable', 'F01 M25', 'EPERM', remount(b'/'), without=ROOTS_ONLY)
cannot('make /etc/passwd writable', 'F01 M25', 'EPERM', remount(b'/etc/passwd'), without=ROOTS_ONLY)
cannot('take the cover off /proc/sys', 'F02 M27', 'EPERM', done('umount2', b'/proc/sys', MNT_DETACH), without=ROOTS_ONLY)
cannot('unmount what is below /dev', 'F02 M29', 'EPERM', done('umount2', b'/dev/mqueue', MNT_DETACH), without=ROOTS_ONLY)
cannot('open a file system by fsopen (CVE-2022-0185)', 'F01', 'EPERM', done('fsopen', b'tmpfs', 0), without=ROOTS_ONLY)
cannot('configure a file system by fsconfig', 'F01', 'EPERM',
       done('fsconfig', -1, 0, 0, 0, 0), without='filter', control='EINVAL|EBADF')
cannot('make a mount by fsmount', 'F01', 'EPERM', done('fsmount', -1, 0, 0), without=ROOTS_ONLY, control='EBADF')
cannot('pick a mounted file system up by fspick', 'F01', 'EPERM', done('fspick', AT_FDCWD, b'/', 0), without=ROOTS_ONLY)
cannot('clone its tree of mounts by open_tree', 'F01 M25', 'EPERM',
       done('open_tree', AT_FDCWD, b'/', 1), without=ROOTS_ONLY)
cannot('attach a mount by move_mount', 'F01', 'EPERM',
       done('move_mount', -1, b'x', AT_FDCWD, b'.', 0), without=ROOTS_ONLY, control='EBADF')


def clear_read_only():
    # struct mount_attr: attr_set, attr_clr, propagation, userns_fd
    call('mount_setattr', AT_FDCWD, b'/', 0, ctypes.create_string_buffer(struct.pack('4Q', 0, 1, 0, 0), 32), 32)


cannot('make its root writable by mount_setattr', 'F01 M25', 'EPERM', clear_read_only, without=ROOTS_ONLY)
cannot('ask which mounts there are by statmount', 'F01', 'ENOSYS',
       done('statmount', 0, 0, 0, 0), without='filter', control='EFAULT|EINVAL|ENOSYS')
cannot('exchange its root by pivot_root', 'F03 M26', 'EPERM',
       done('pivot_root', b'.', b'.'), without=ROOTS_ONLY, control='EINVAL')
cannot('have another root by chroot', 'F03 M26', 'EPERM', done('chroot', b'.'), without=ROOTS_ONLY)


def leave_by_descriptor():
    """The double chroot: a root below, while a descriptor and the working directory stay above."""
    above = os.open('/', os.O_PATH)
    os.mkdir('below')
    call('chroot', b'below')
    os.fchdir(above)
    return os.stat('.').st_ino != os.stat('/').st_ino


cannot('leave a root by a second one', 'F03 M26', 'EPERM', leave_by_descriptor, without=ROOTS_ONLY)


def climb(start):
    def climbs():
        """Climbs until it goes no higher; above the root there is nothing unless somebody was left outside."""
        os.fchdir(start() if callable(start) else start)
        for _ in range(64):
            os.chdir('..')
        here, root = os.stat('.'), os.stat('/')
        return (here.st_dev, here.st_ino) != (root.st_dev, root.st_ino)
    return climbs


def root_below():
    os.mkdir('below')
    os.chroot('below')


cannot('climb above its root from where it began', 'F18 M26', 'nothing', climb(lambda: WORLD['began_at']),
       without=ROOTS_ONLY, prepare=root_below)
cannot('climb above its root by a descriptor of /', 'F03 M26', 'nothing',
       climb(lambda: WORLD.get('outside') or os.open('/', os.O_PATH)), without=ROOTS_ONLY,
       prepare=lambda: (WORLD.update(outside=os.open('/', os.O_PATH)), root_below()))
cannot('find an old root that was left behind', 'M26', 'nothing',
       lambda: any(map(os.path.exists, ('/host', '/.old_root', '/old_root', '/oldroot', '/put_old'))),
       because='no root that is left behind can be made again once it has gone')

NAMESPACES = {
    'mount': (0x00020000, 'mnt'), 'host name': (0x04000000, 'uts'), 'ipc': (0x08000000, 'ipc'), 'pid': (0x20000000, 'pid'),
    'network': (0x40000000, 'net'), 'cgroup': (0x02000000, 'cgroup'),
}
for name, (flag, file) in NAMESPACES.items():
    cannot(f'have a new {name} namespace by unshare', 'P09 M13', 'EPERM', done('unshare', flag), without=ROOTS_ONLY)
    cannot(f'enter its own {name} namespace anew by setns', 'P08 M13', 'EPERM',
           lambda file=file: call('setns', os.open('/proc/self/ns/' + file, os.O_RDONLY), 0), without=ROOTS_ONLY)
for name, flag in (('unshare', 0x10000000), ('unshare, with a mount namespace', 0x10020000)):
    # Whoever's root is one of chroot() is refused by the kernel, too.
    cannot(f'have a new user namespace by {name} (CVE-2022-0492)', 'P09 R01 M13', 'EPERM', done('unshare', flag),
           because='the kernel itself refuses it to whoever is in a root by chroot, as every vassal is')
cannot('have a new time namespace by unshare', 'P09 M13', 'EPERM', done('unshare', 0x80), without=ROOTS_ONLY,
       control='succeeded|EINVAL')
cannot('enter a namespace by a descriptor of a process', 'P08', 'EPERM',
       lambda: call('setns', call('pidfd_open', os.getppid(), 0), 0x20000), without=ROOTS_ONLY)


def clone(flags):
    def clones():
        pid = call('clone', flags | 17, 0, 0, 0, 0)
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    return clones


cannot('clone a process into a new mount namespace', 'P10', 'EPERM', clone(0x00020000), without=ROOTS_ONLY)
cannot('clone a process into a new network namespace', 'P10', 'EPERM', clone(0x40000000), without=ROOTS_ONLY)
cannot('clone with bits above the flags that the filter looks at', 'P10', 'EPERM',
       clone(0x100000000 | 0x40000000), without=ROOTS_ONLY)
cannot('clone by clone3, whose flags no filter sees', 'P10', 'ENOSYS', done('clone3', 0, 0), without='filter', control='EINVAL')
cannot('be root in a map of its own', 'F09', 'EPERM',
       lambda: os.write(os.open('/proc/self/uid_map', os.O_WRONLY), b'0 0 1\n'),
       because='the map of the first user namespace is written by the kernel, once')

# ── the same with the tools that a customer has ──

for what, ids, words in (('mount with mount(8)', 'F01', ('/usr/bin/mount', '-t', 'tmpfs', 'none', '.')),
                         ('enter the namespaces of PID 1 with nsenter(1)', 'P08',
                          ('/usr/bin/nsenter', '-t', '1', '-m', '-u', '-i', '-n', '/usr/bin/true')),
                         ('leave its namespaces with unshare(1)', 'P09', ('/usr/bin/unshare', '-m', '-n', '-i', '-u', 'true')),
                         ('have another root with chroot(8)', 'F03', ('/usr/sbin/chroot', '/', '/usr/bin/true')),
                         ("read the kernel's log with dmesg(1)", 'F10', ('/usr/bin/dmesg',))):
    cannot(what, ids, 'nothing', lambda words=words: runs(*words), without=ROOTS_ONLY)
cannot('be root with unshare(1)', 'P09 R01', 'nothing', lambda: runs('/usr/bin/unshare', '-U', '-r', '-m', '-C', 'true'),
       because='the kernel itself refuses it to whoever is in a root by chroot')
cannot('be root with setpriv(1)', 'M41', 'nothing', lambda: runs('/usr/bin/setpriv', '--reuid=0', '--clear-groups', '/usr/bin/true'),
       without='capabilities')
