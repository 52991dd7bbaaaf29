/** mount(2) and umount2(2), the little that is needed outside of a jail. */
import { libcCall } from './libc.ts';

const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MNT_DETACH = 2;

const mountCall = libcCall<
  [source: string, target: string, type: string, flags: number, options: string]
>('int mount(const char *, const char *, const char *, unsigned long, const char *)');
const umountCall = libcCall<[target: string, flags: number]>('int umount2(const char *, int)');

/**
 * Mounts a kernel file system (nosuid, nodev, noexec). EPERM: no CAP_SYS_ADMIN. ENODEV: the kernel has no
 * such file system. EBUSY: it is in use with other options.
 */
export function mountKernelFileSystem(mount: {
  readonly type: string;
  readonly target: string;
  readonly options: string;
}): void {
  const { type, target, options } = mount;
  mountCall('none', target, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, options);
}

/** Takes a mount out of the tree; it ends with its last user. EINVAL: nothing is mounted there. */
export function detachMount(target: string): void {
  umountCall(target, MNT_DETACH);
}
