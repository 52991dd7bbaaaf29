# A mount namespace with a copy of /etc, an own /run and an own /usr/local/lib, in which accounts can be made and an
# sshd can run while this machine stays as it is. To be run by `unshare -m sh`, with an empty directory as its word;
# says `made`, and lasts until its input ends. For tests and benchmarks.
set -e
# Made by the first network namespace that gets a name; there may have been none yet.
mkdir -p /run/netns
mount -t tmpfs none "$1"
cp -a /etc "$1/etc"
mkdir -p "$1/run/sshd" "$1/run/netns" "$1/lib"
mount --rbind /run/netns "$1/run/netns"
mount --bind "$1/etc" /etc
mount --rbind "$1/run" /run
mount --bind "$1/lib" /usr/local/lib
echo made
exec cat
