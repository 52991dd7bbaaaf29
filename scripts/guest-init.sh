#!/bin/sh
# PID 1 of the guest of test-v2.mjs, by busybox in its initial file system, until the machine's own / is below an
# overlay; from then on a shell, which reaps. The command and the place for its status are on the share `job`.
export PATH=/bin
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod "$module"; done

share() {
  mkdir -p "$2" && mount -t 9p -o "trans=virtio,version=9p2000.L,msize=524288,$3" "$1" "$2"
}
# What the host writes meanwhile is not seen: a listing or file that was read once is kept.
share root /lower ro,cache=loose
mkdir -p /upper /root
mount -t tmpfs -o mode=755 upper /upper
mkdir -m 755 /upper/files /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/files,workdir=/upper/work root /root
share modules /root/usr/lib/modules ro,cache=loose

cd /root
mount --move /dev dev
mkdir -p dev/pts dev/shm dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
mount -t mqueue mqueue dev/mqueue
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sys sys
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755,nosuid,nodev run run
mount -t tmpfs -o mode=1777 tmp tmp
share job run/job cache=none
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
# As systemd has it on Debian.
mount --make-rshared .
echo 4194304 >proc/sys/kernel/pid_max
for what in fifos=1 hardlinks=1 regular=2 symlinks=1; do
  echo "${what#*=}" >"proc/sys/fs/protected_${what%=*}"
done

exec switch_root . /bin/sh -c '
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
  hostname guest
  ip link set lo up
  modprobe -a tun loop
  ulimit -Hn 524288
  set -- /dev/vport*p1
  sh /run/job/command </dev/null >"$1" 2>&1
  echo $? >/run/job/status
  echo o >/proc/sysrq-trigger
  exec sleep 1000
'
