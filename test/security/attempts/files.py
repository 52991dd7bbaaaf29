"""The distro, devices, /proc, /sys, and programs with rights of somebody else."""
import mmap
import os
import stat
import struct

from attack import WORLD, call, done, home, opened, output_of, read, theme, walk
from mounts import remount

cannot = theme('Files and devices')
# In controls the root is a distro of the test's own.
WRITABLE_ROOT = {'without': 'filter capabilities', 'prepare': remount(b'/')}


def create(path):
    return lambda: os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644))


cannot('create a file in /', 'M25', 'EROFS', create('/created'), **WRITABLE_ROOT)
cannot('remove a file of the distro', 'M25', 'EROFS', lambda: os.unlink('/etc/os-release'), **WRITABLE_ROOT)
cannot('rename a directory of the distro', 'M25', 'EROFS', lambda: os.rename('/root', '/toor'), **WRITABLE_ROOT)
cannot('open a directory of the distro to everybody', 'M25', 'EROFS', lambda: os.chmod('/var', 0o777), **WRITABLE_ROOT)
cannot('put a link to the host into the distro', 'F21', 'EROFS', lambda: os.symlink('/proc/1/root', '/link'),
       **WRITABLE_ROOT)
cannot('note something in attributes of /', 'M25', 'EROFS', lambda: os.setxattr('/', 'trusted.note', b'x'), **WRITABLE_ROOT)
cannot('write to /etc/hostname, which is generated', 'M25 M33', 'EACCES|EROFS', opened('/etc/hostname', os.O_WRONLY),
       without='filter capabilities', prepare=remount(b'/etc/hostname'))
cannot('write to /opt, which is for all', 'M32', 'EROFS', create('/opt/created'), **WRITABLE_ROOT)
cannot('create a home beside its own', 'M8', 'EROFS', lambda: os.mkdir('/home/other'), without='filter capabilities',
       prepare=remount(b'/home'))
cannot('put a file into /dev', 'F19 M29', 'EACCES', create('/dev/sda'), without='capabilities')
cannot('take /dev/full away, to put a link in its place (CVE-2025-31133)', 'F19', 'EACCES', lambda: os.unlink('/dev/full'),
       without='capabilities')
cannot('write to its log', 'M13', 'EROFS', opened('/var/log/vassal/current', os.O_WRONLY), without='flags')
cannot('truncate its log', 'F34', 'EROFS', lambda: os.truncate('/var/log/vassal/current', 0), without='flags')
cannot('take its log away', 'M13', 'EROFS', lambda: os.unlink('/var/log/vassal/current'), without='flags')


def mapped():
    file = os.open('/usr/bin/python3', os.O_RDONLY)
    mmap.mmap(file, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)


cannot('change a file of the distro by a shared map', 'F26 M25', 'EACCES', mapped,
       because='a descriptor that may write is what is missing; the file is on a mount that gives none')


def dirty_pipe():
    """CVE-2022-0847: a page of a file in a pipe, and a write that lands in it."""
    reader, writer = os.pipe()
    for _ in range(16):
        os.write(writer, b'.' * 4096)
    for _ in range(16):
        os.read(reader, 4096)
    path, before = '/etc/hostname', read('/etc/hostname')
    os.splice(os.open(path, os.O_RDONLY), writer, 1, offset_src=0)
    os.write(writer, b'X' * 4)
    return read(path) != before


cannot('write to a file through a pipe (CVE-2022-0847)', 'F26', 'nothing', dirty_pipe,
       because='a kernel with that hole would be needed')
cannot('put its pages into a pipe by vmsplice', 'F26', 'ENOSYS', lambda: call('vmsplice', os.pipe()[1], 0, 0, 0),
       without='filter')
cannot('open files by handles, past every directory (shocker)', 'F25', 'EPERM',
       done('open_by_handle_at', -100, 0, 0), without='filter capabilities', control='EFAULT')
cannot('ask for handles of files', 'F25', 'ENOSYS', done('name_to_handle_at', -100, b'/', 0, 0, 0), without='filter',
       control='EFAULT')
cannot('watch whole file systems by fanotify', 'S03', 'EPERM', done('fanotify_init', 0x200, 0), without='filter capabilities')
cannot('see which pages of a shared file are in memory', 'M13', 'ENOSYS', done('cachestat', -1, 0, 0, 0), without='filter',
       control='EBADF|ENOSYS')

# ── devices ──

for name, kind, major, minor in (('a disk', stat.S_IFBLK, 8, 0), ("the machine's memory", stat.S_IFCHR, 1, 1),
                                 ('the console', stat.S_IFCHR, 5, 1), ('a tun', stat.S_IFCHR, 10, 200)):
    cannot(f'make a node of {name}', 'F05 M29', 'EPERM',
           lambda kind=kind, device=os.makedev(major, minor): os.mknod('node', kind | 0o600, device),
           without='capabilities')
for name in ('random', 'tun'):
    cannot(f'open a node of {name} that root has put into its home', 'F06', 'EACCES',
           lambda name=name: opened(home(name), os.O_RDWR)(), without='flags')

# CAP_NET_RAW as a file has it: linux/capability.h.
NET_RAW = struct.pack('<5I', 0x02000001, 1 << 13, 0, 0, 0)
GIVEN = {'null', 'zero', 'full', 'random', 'urandom', 'tty'}


def other_devices():
    found = [path for path, status in walk('/dev') if stat.S_ISCHR(status.st_mode) or stat.S_ISBLK(status.st_mode)]
    return [path for path in found if path[5:] not in GIVEN and not path.startswith('/dev/pts/')]


cannot('find any other device in /dev', 'F07 M29', 'nothing', other_devices, without='capabilities',
       prepare=lambda: os.mknod('/dev/kmsg', stat.S_IFCHR | 0o600, os.makedev(1, 11)))
cannot('open the device that tuns are made by', 'F07', 'ENOENT', opened('/dev/net/tun', os.O_RDWR), without='capabilities',
       prepare=lambda: (os.makedirs('/dev/net', exist_ok=True),
                        os.mknod('/dev/net/tun', stat.S_IFCHR | 0o666, os.makedev(10, 200))))

# ── rights of files ──

cannot('be root by a setuid file that somebody has put into its home', 'F13 M33', 'nothing',
       lambda: output_of(home('root-id'), '-u').strip() == '0', without='flags privileges')
cannot('have a capability by a file that has one', 'F14 S02', 'nothing',
       lambda: 'CapEff:\t0000000000000000' not in output_of(home('capable-cat'), '/proc/self/status'),
       without='flags privileges')


def set_ids():
    """find / -perm /6000, on mounts that would heed it."""
    found = [path for path, status in walk('/') if stat.S_ISREG(status.st_mode) and status.st_mode & 0o6000]
    if not found:
        raise RuntimeError('not even that of the home was found')
    return [path for path in found if not os.statvfs(path).f_flag & os.ST_NOSUID]


cannot('find a setuid or setgid file that is heeded, anywhere', 'F13 M33', 'nothing', set_ids, without='flags')
cannot('give a file of its own to root', 'F13', 'EPERM', lambda: (create('own')(), os.chown('own', 0, 0)),
       without='capabilities')
cannot('give a file of its own a capability', 'F14', 'EPERM',
       lambda: (create('own')(), os.setxattr('own', 'security.capability', NET_RAW)),
       without='capabilities')
cannot("read root's file in its home", 'M8', 'EACCES', lambda: opened(home('of-root'))(), without='capabilities')
cannot('link a file of the distro into its home', 'F15', 'EXDEV|EROFS', lambda: os.link('/etc/passwd', home('linked')),
       because='they are on different mounts, always')


def run_from(directory):
    def runs():
        path = os.path.join(directory, f'program-{os.getpid()}')
        with open(path, 'wb') as file:
            file.write(read('/usr/bin/true', 1 << 22))
        os.chmod(path, 0o755)
        try:
            output_of(path)
        finally:
            os.unlink(path)
    return runs


cannot('run a program out of shared memory', 'M13', 'EACCES', run_from('/dev/shm'), without='flags')

# ── /proc and /sys ──

for path in ('kernel/core_pattern', 'kernel/hostname', 'kernel/ns_last_pid', 'vm/overcommit_memory',
             'fs/file-max', 'net/ipv4/ip_forward'):
    cannot(f'write to /proc/sys/{path}', 'F09 M27', 'EACCES|EROFS', opened(f'/proc/sys/{path}', os.O_WRONLY),
           without='covers capabilities')
for path in ('/proc/sysrq-trigger', '/proc/sys/kernel/modprobe', '/proc/irq/default_smp_affinity', '/proc/pressure/memory'):
    cannot(f'write to {path}', 'F09 M27', 'EACCES|EROFS|ENOENT', opened(path, os.O_WRONLY), without='covers capabilities',
           control='succeeded|ENOENT')


KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING = 0, -2


def writable_in_proc():
    found = []
    for place, directories, files in os.walk('/proc'):
        if place == '/proc':
            directories[:] = [one for one in directories if not one.isdigit() and one not in ('self', 'thread-self')]
        for name in files:
            path = os.path.join(place, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.close(os.open(path, os.O_WRONLY))
                    found.append(path)
            except OSError:
                continue
    return found


cannot('write to any file of /proc but those of its processes', 'F09 M27', 'nothing', writable_in_proc,
       without='covers capabilities')
for path in ('key-users', 'kallsyms', 'interrupts', 'timer_list'):
    cannot(f'read /proc/{path}', 'F10 M27', 'nothing', lambda path=path: read('/proc/' + path, 1), without='covers capabilities')
for path in ('kcore', 'sched_debug', 'latency_stats'):
    cannot(f'read /proc/{path}', 'F10 M27', 'nothing|ENOENT|EACCES', lambda path=path: read('/proc/' + path, 1),
           without='covers capabilities', control='succeeded|ENOENT')
cannot('read /proc/keys', 'F10 S06 M27', 'nothing', lambda: read('/proc/keys', 1), without='filter covers capabilities',
       prepare=lambda: call('keyctl', KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1))
cannot("look into the kernel's /sys", 'F11', 'ENOENT', lambda: os.listdir('/sys/kernel'), without='filter capabilities',
       prepare=lambda: call('mount', b'none', b'/sys', b'sysfs', 0, 0))


def writable_in_sys():
    found = []
    for path, status in walk('/sys'):
        try:
            if stat.S_ISREG(status.st_mode):
                os.close(os.open(path, os.O_WRONLY))
                found.append(path)
        except OSError:
            continue
    return found


def make_cgroup():
    os.mkdir('/sys/fs/cgroup/own')
    os.rmdir('/sys/fs/cgroup/own')


cannot('write to its cgroup, or to any other file below /sys', 'R01 M44', 'nothing', writable_in_sys,
       without='flags capabilities')
cannot('make a cgroup below its own', 'R01', 'EROFS|ENOENT', make_cgroup, without='flags capabilities')
GIVEN_MOUNTS = {'/tmp', '/var/tmp', '/run', '/dev/shm', '/dev/mqueue'}


def other_writable_mounts():
    found = []
    for line in read('/proc/self/mountinfo').decode().splitlines():
        point, options = line.split(' ')[4:6]
        if options.split(',')[0] == 'rw' and not point.startswith('/proc') and os.access(point, os.W_OK):
            found.append(point)
    return [point for point in found if point not in GIVEN_MOUNTS and point != WORLD['home']]


cannot('write anywhere but where it was given to', 'M25 M28', 'nothing', other_writable_mounts, without='flags capabilities')
