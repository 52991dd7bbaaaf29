# The system calls of a vassal's processes: what stands behind `allow` reaches the kernel, everything else is refused.
# seccomp-profile.c compiles this list at build time (docs/decisions/0024). What is allowed or refused by its arguments
# (personality, clone, ioctl, socket, whatever could aim at PID 1) stands there.
#
# ACTION CALL...
#   allow    goes to the kernel
#   EPERM    is refused, as the kernel refuses a process without capabilities
#   ENOSYS   is refused, as by a kernel that does not have it; so is what stands in no line, since programs that know
#            newer calls then fall back on older ones
# NAME=NUMBER is a call that is newer than some libseccomp; its number is the same on every architecture.
#
# The base is what Docker allows a process without capabilities.

# Files: names, contents, attributes
allow  open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2
allow  pwritev2 lseek truncate ftruncate fallocate fadvise64 readahead copy_file_range sendfile splice tee
allow  fsync fdatasync sync syncfs sync_file_range
allow  stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 getcwd chdir fchdir umask
allow  mkdir mkdirat rmdir rename renameat renameat2 link linkat symlink symlinkat readlink readlinkat unlink unlinkat
allow  mknod mknodat getdents getdents64
allow  chmod fchmod fchmodat fchmodat2=452 chown fchown lchown fchownat utime utimes futimesat utimensat
allow  getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr setxattr lsetxattr fsetxattr
allow  removexattr lremovexattr fremovexattr setxattrat=463 getxattrat=464 listxattrat=465 removexattrat=466
allow  inotify_init inotify_init1 inotify_add_watch inotify_rm_watch

# Descriptors, waiting
allow  dup dup2 dup3 fcntl flock ioctl pipe pipe2 eventfd eventfd2 signalfd signalfd4 memfd_create
allow  select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2

# Sockets
allow  socket socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
allow  sendto recvfrom sendmsg recvmsg sendmmsg recvmmsg

# Memory
allow  brk mmap munmap mremap mprotect msync mincore madvise remap_file_pages membarrier mseal=462 map_shadow_stack=453
allow  mlock mlock2 munlock mlockall munlockall pkey_alloc pkey_free pkey_mprotect

# Processes, threads, signals
allow  clone fork vfork execve execveat exit exit_group wait4 waitid
allow  getpid getppid gettid getpgid getpgrp setpgid getsid setsid set_tid_address
allow  kill tkill tgkill pidfd_open pidfd_send_signal rt_sigqueueinfo rt_tgsigqueueinfo
allow  rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigreturn sigaltstack
allow  pause restart_syscall
allow  futex futex_waitv futex_wake=454 futex_wait=455 futex_requeue=456 set_robust_list get_robust_list rseq
allow  prctl arch_prctl process_mrelease
allow  ptrace process_vm_readv process_vm_writev

# Who a process is
allow  getuid geteuid getgid getegid getresuid getresgid getgroups capget capset
allow  setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups
allow  seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self

# Limits and scheduling
allow  getrlimit setrlimit prlimit64 getrusage times getpriority setpriority ioprio_get ioprio_set
allow  sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getattr sched_setattr
allow  sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval

# Time
allow  time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep alarm getitimer setitimer
allow  adjtimex clock_adjtime
allow  timer_create timer_settime timer_gettime timer_getoverrun timer_delete
allow  timerfd_create timerfd_settime timerfd_gettime

# Memory, semaphores and queues between processes
allow  shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl
allow  mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr

# The machine
allow  uname sysinfo getcpu getrandom

# New mounts and namespaces: most escapes of the last years begin with one of these.
EPERM  mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick open_tree
EPERM  open_tree_attr=467 move_mount mount_setattr
EPERM  setns unshare
# Keeps its flags in memory, where no filter can look.
ENOSYS clone3

# Large, privileged or rarely used parts of the kernel that no customer's program needs.
EPERM  bpf perf_event_open userfaultfd fanotify_init
# A second way to nearly every call, which seccomp does not see.
ENOSYS io_uring_setup io_uring_enter io_uring_register
# Keyrings know no namespaces: they would be shared with whoever has the uid.
EPERM  keyctl add_key request_key
# Opens any file of a file system by number, past every directory.
EPERM  open_by_handle_at
# The target is a descriptor, or pages of another process, or two processes: a filter cannot know whether it is PID 1.
EPERM  process_madvise pidfd_getfd move_pages migrate_pages kcmp
# The host's: its kernel, log, clock, name, disks, ports and terminals.
EPERM  kexec_load kexec_file_load init_module finit_module delete_module reboot syslog acct swapon swapoff
EPERM  settimeofday clock_settime sethostname setdomainname quotactl quotactl_fd iopl ioperm vhangup

# What Docker allows and we do not.
# For 16 and 32-bit code only, which ends anyway.
ENOSYS modify_ldt set_thread_area get_thread_area
# Puts pages of a process into pipes, where they stay after it changed them; few programs use it, none needs it.
ENOSYS vmsplice
# Tell of mounts and inodes, by which nothing can be opened here.
ENOSYS name_to_handle_at statmount=457 listmount=458
# Memory that the kernel cannot move.
ENOSYS memfd_secret
# Shows which pages of a shared distro others read.
ENOSYS cachestat=451
# The older asynchronous I/O: its contexts are counted for the whole machine (fs.aio-max-nr), so that one tenant could have
# all of them. Databases and web servers do without.
ENOSYS io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents
