"""Processes of others: of the host, of neighbours."""
import os

from attack import WORLD, read, theme

cannot = theme('Processes of others')


def seen(word):
    """Pids whose words hold `word`."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            if word in read(f'/proc/{pid}/cmdline', 1 << 16):
                found.append(pid)
        except OSError:
            continue
    return found


cannot('see a process of the host, be it of the same uid', 'P04 M7', 'nothing', lambda: seen(b'canary-of-the-host'), without='pids')
cannot('see a process of a neighbour', 'P04 M7', 'nothing', lambda: seen(b'canary-of-a-neighbour'), without='namespaces')


def at_canary(act):
    """A number that is the host's canary's may be that of an own process in here, which does not count."""

    def acts():
        act(WORLD['host_pid'])
        return b'canary-of-the-host' in read(f"/proc/{WORLD['host_pid']}/cmdline")

    return acts


cannot('signal a process of the host whose number and uid it has', 'P01 M7', 'ESRCH|ENOENT|nothing',
       at_canary(lambda pid: os.kill(pid, 0)), without='pids')
cannot('hold a process of the host by a pidfd', 'P01', 'ESRCH|ENOENT|nothing', at_canary(os.pidfd_open), without='pids')
