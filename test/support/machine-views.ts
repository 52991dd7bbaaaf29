/**
 * What a daemon is started through to see another machine than this one, in the mount namespace that `ip netns exec`
 * makes. Each is a command that runs the rest of its line.
 */

/** Shows one cgroup mount, of v1, alone; `ip netns exec` hides them all. */
export function seeingOnly(mount: string): readonly string[] {
  const script =
    'mount -t tmpfs none /sys/fs/cgroup && mkdir -p "$0" && mount -t cgroup -o freezer none "$0" && exec "$@"';
  return ['sh', '-c', script, mount];
}

/** Shows the text of `file` as the id of the boot. */
export function withBootId(file: string): readonly string[] {
  const script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"';
  return ['sh', '-c', script, file];
}
