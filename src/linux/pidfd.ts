/** Process descriptors (pidfd_open(2), pidfd_send_signal(2)): a process without the risk of pid reuse. */
import { isErrno } from '../base/errors.ts';
import { systemCall } from './libc.ts';

/**
 * Opens a process descriptor (close-on-exec); it becomes readable when the process has ended.
 * ESRCH: no such process. EINVAL: `pid` is a thread or not positive. EMFILE: too many descriptors.
 */
export function openPidfd(pid: number): number {
  return systemCall('pidfd_open', [pid, 0]);
}

/** Sends `signo` (0 only asks) to the process; false if it has ended (ESRCH). EPERM: not permitted. */
export function signalPidfd(fd: number, signo: number): boolean {
  try {
    systemCall('pidfd_send_signal', [fd, signo, 0, 0]);
    return true;
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false;
    throw error;
  }
}
