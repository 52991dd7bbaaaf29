/** mount(2), the little that is needed outside of a jail. */
import { libcCall } from './libc.ts';

const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;

const mountCall = libcCall<
  [source: string, target: string, type: string, flags: number, options: string]
>('int mount(const char *, const char *, const char *, unsigned long, const char *)');

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
