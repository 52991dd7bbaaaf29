"""What attempts are made of: cannot() notes one, and the rest is what they need. x86_64 only, as the tests' machines are.

An attempt has succeeded unless it returns False or something empty (`nothing`), raises OSError (the errno's name) or is
killed (the signal's name).
"""
import ctypes
import os

#: What stands in the way of attempts: a word for the tests, which take it away in controls, and for people.
PROTECTIONS = {
    'filter': 'the system call filter',
    'capabilities': 'no capability',
    'privileges': 'no_new_privs',
    'covers': 'covers over /proc',
    'flags': 'read-only, nosuid, nodev and noexec mounts',
    'limits': 'resource limits',
    'namespaces': 'namespaces and directories of its own',
    'pids': 'a pid namespace of its own',
    'fresh': 'init starts everything afresh',
    'init': 'PID 1 is not dumpable and lets nobody look',
}

ATTEMPTS = []

#: Filled in by attacker.py before the first attempt: what is outside, and what is aimed at.
WORLD = {}


class Attempt:
    def __init__(self, theme, what, ids, answer, attack, without, control, because, prepare):
        self.theme, self.what, self.ids = theme, what, ids.split()
        self.answer = answer.split('|')
        self.attack, self.prepare = attack, prepare
        self.without, self.control, self.because = without.split(), control.split('|'), because


def theme(name):
    """Returns the cannot() of one file of attempts."""

    def cannot(what, ids, answer, attack, *, without='', control='succeeded', because=None, prepare=None):
        """Notes that a tenant cannot do `what`.

        ids      of the catalogue and of requirements
        answer   what the attempt ends with; several by `|`
        without  the words of PROTECTIONS that are taken away in its control
        control  what it ends with then
        because  why it has no control
        prepare  what is done before it in its control
        """
        assert (because is None) == (without != ''), what
        ATTEMPTS.append(Attempt(name, what, ids, answer, attack, without, control, because, prepare))

    return cannot


libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

NUMBERS = {
    'prctl': 157, 'ptrace': 101, 'mount': 165, 'umount2': 166, 'pivot_root': 155, 'chroot': 161, 'unshare': 272, 'setns': 308,
    'clone': 56, 'clone3': 435, 'fsopen': 430, 'fsconfig': 431, 'fsmount': 432, 'fspick': 433, 'open_tree': 428,
    'move_mount': 429, 'mount_setattr': 442, 'statmount': 457, 'listmount': 458, 'bpf': 321, 'perf_event_open': 298,
    'userfaultfd': 323, 'keyctl': 250, 'add_key': 248, 'request_key': 249, 'init_module': 175, 'finit_module': 313,
    'delete_module': 176, 'kexec_load': 246, 'kexec_file_load': 320, 'iopl': 172, 'ioperm': 173, 'syslog': 103,
    'acct': 163, 'quotactl': 179, 'quotactl_fd': 443, 'swapon': 167, 'swapoff': 168, 'reboot': 169, 'settimeofday': 164,
    'clock_settime': 227, 'clock_adjtime': 305, 'adjtimex': 159, 'sethostname': 170, 'setdomainname': 171,
    'fanotify_init': 300, 'name_to_handle_at': 303, 'open_by_handle_at': 304, 'vhangup': 153, 'modify_ldt': 154,
    'memfd_secret': 447, 'vmsplice': 278, 'cachestat': 451, 'io_uring_setup': 425, 'personality': 135, 'kcmp': 312,
    'process_madvise': 440, 'pidfd_open': 434, 'pidfd_getfd': 438, 'process_vm_readv': 310, 'process_vm_writev': 311,
    'move_pages': 279, 'migrate_pages': 256, 'prlimit64': 302, 'setrlimit': 160, 'setpriority': 141, 'ioprio_set': 251,
    'sched_setaffinity': 203, 'sched_setscheduler': 144, 'sched_setparam': 142, 'sched_setattr': 314,
    'get_robust_list': 274, 'capset': 126, 'setgroups': 116, 'setfsuid': 122, 'shmget': 29, 'semget': 64, 'msgget': 68,
    'mq_open': 240, 'getpid': 39, 'mlock': 149, 'socket': 41, 'ioctl': 16, 'madvise': 28, 'io_setup': 206, 'mmap': 9, 'memfd_create': 319,
}


def number(name, *arguments):
    """Makes a system call by its number, without anything of a library before it."""
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = libc.syscall(ctypes.c_long(name), *words)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def call(name, *arguments):
    """Makes a system call; integers, bytes and ctypes' buffers are its arguments."""
    return number(NUMBERS[name], *arguments)


def done(name, *arguments):
    """An attempt that is one system call."""
    return lambda: call(name, *arguments)


def opened(path, flags=os.O_RDONLY):
    return lambda: os.open(path, flags)


def read(path, size=1 << 16):
    with open(path, 'rb') as file:
        return file.read(size)


def status_of(key):
    """One line of /proc/self/status."""
    for line in read('/proc/self/status').decode().split('\n'):
        if line.startswith(key + ':'):
            return line.split(':', 1)[1].strip()
    raise KeyError(key)


def output_of(*words):
    """What a program says that is started from here."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(writer, 1)
        try:
            os.execv(words[0], words)
        except OSError as error:
            os._exit(100 + error.errno % 100)
    os.close(writer)
    text = b''
    while part := os.read(reader, 4096):
        text += part
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) >= 100:
        raise OSError(os.WEXITSTATUS(status) - 100, 'exec')
    return text.decode()


def runs(*words):
    """Whether a program ends well."""
    silent = [(os.POSIX_SPAWN_OPEN, fd, '/dev/null', os.O_RDWR, 0) for fd in range(3)]
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=silent)
    return os.waitpid(pid, 0)[1] == 0


def walk(top):
    """Every path below `top` that can be seen, with what lstat says; not /proc."""
    for place, directories, files in os.walk(top):
        if place == '/':
            directories.remove('proc')
        for name in files + directories:
            path = os.path.join(place, name)
            try:
                yield path, os.lstat(path)
            except OSError:
                continue


def home(name=''):
    return os.path.join(WORLD['home'], name)


def target():
    """The process that is aimed at: PID 1, or in a control somebody who is not guarded as that."""
    return WORLD['target']
