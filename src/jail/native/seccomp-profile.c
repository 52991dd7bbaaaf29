/*
 * Build-time tool: writes the system call filter of a vassal's processes as struct sock_filter[].
 * Usage: seccomp-profile FILE. Linked with libseccomp; init only loads what this wrote.
 *
 * The first profile: everything is allowed but what reaches the kernel's most dangerous corners, makes
 * new namespaces or mounts, or aims at PID 1. init runs with its tenant's uid, so without the guards below
 * `prlimit --pid 1 --nofile=0` would cripple it (measured). A full allow-list is to follow.
 *
 * Comparing arguments. A filter sees 64 bits, the kernel often uses the lower 32: comparing all of them
 * would let 0x100000001 pass for pid 1. So everything that is an int in C is compared masked.
 */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define INT_MASK 0xffffffffULL
#define INT_IS(argument, value) \
    SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, INT_MASK, (scmp_datum_t)(value))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define INIT_PID 1
#define TIOCSTI_NUMBER 0x5412
#define TIOCLINUX_NUMBER 0x541c

/* linux/ioprio.h and sys/resource.h: what a `who` is. */
#define WHO_PROCESS 0
#define WHO_GROUP 1
#define WHO_USER 2
#define IOPRIO_PROCESS 1
#define IOPRIO_GROUP 2
#define IOPRIO_USER 3

/* Linux 6.15; newer than this libseccomp. The number is the same on every architecture. */
#define OPEN_TREE_ATTR_NUMBER 467

static scmp_filter_ctx filter;

static void fail(const char *what, int error)
{
    fprintf(stderr, "Cannot make the system call filter: %s: %s\n", what, strerror(error));
    exit(1);
}

/* Adds one rule; a call that this architecture does not have needs none. */
static void add(uint32_t action, int call, unsigned count, const struct scmp_arg_cmp *comparisons)
{
    if (call == __NR_SCMP_ERROR)
        fail("unknown system call", ENOENT);
    int error = seccomp_rule_add_array(filter, action, call, count, comparisons);
    if (error && !(error == -EDOM && call < 0)) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
        fail(name ? name : "rule", -error);
    }
}

static void refuse(int call)
{
    add(SCMP_ACT_ERRNO(EPERM), call, 0, NULL);
}

static void refuse_if(int call, struct scmp_arg_cmp one)
{
    add(SCMP_ACT_ERRNO(EPERM), call, 1, &one);
}

static void refuse_if_both(int call, struct scmp_arg_cmp one, struct scmp_arg_cmp two)
{
    const struct scmp_arg_cmp both[] = {one, two};
    add(SCMP_ACT_ERRNO(EPERM), call, 2, both);
}

/* Programs fall back on older calls when the kernel says ENOSYS, not when it says EPERM. */
static void pretend_missing(int call)
{
    add(SCMP_ACT_ERRNO(ENOSYS), call, 0, NULL);
}

/* New mounts and namespaces: most escapes of the last years begin with one of these. */
static void refuse_mounts_and_namespaces(void)
{
    static const int calls[] = {
        SCMP_SYS(mount), SCMP_SYS(umount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
        SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick),
        SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(mount_setattr), OPEN_TREE_ATTR_NUMBER,
        SCMP_SYS(setns), SCMP_SYS(unshare),
    };
    for (size_t i = 0; i < LENGTH(calls); i++)
        refuse(calls[i]);
}

/* clone() stays for threads and forks; clone3() keeps its flags in memory, where no filter can look. */
static void refuse_clone_of_namespaces(void)
{
    static const scmp_datum_t bits[] = {
        0x00020000, /* CLONE_NEWNS */     0x02000000, /* CLONE_NEWCGROUP */
        0x04000000, /* CLONE_NEWUTS */    0x08000000, /* CLONE_NEWIPC */
        0x10000000, /* CLONE_NEWUSER */   0x20000000, /* CLONE_NEWPID */
        0x40000000, /* CLONE_NEWNET */
    };
    for (size_t i = 0; i < LENGTH(bits); i++)
        refuse_if(SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, bits[i], bits[i]));
    pretend_missing(SCMP_SYS(clone3));
}

/* Large, privileged or rarely used parts of the kernel that no customer's program needs. */
static void refuse_kernel_corners(void)
{
    static const int calls[] = {
        SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
        /* Keyrings know no namespaces: they would be shared with whoever has the uid. */
        SCMP_SYS(keyctl), SCMP_SYS(add_key), SCMP_SYS(request_key),
        SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
        SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
        /* Opens any file of a file system by number, past every directory. */
        SCMP_SYS(open_by_handle_at),
        /* The host's kernel log. */
        SCMP_SYS(syslog),
        SCMP_SYS(acct), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(reboot), SCMP_SYS(quotactl),
    };
    for (size_t i = 0; i < LENGTH(calls); i++)
        refuse(calls[i]);
    /* A second way to nearly every call, which seccomp does not see. */
    pretend_missing(SCMP_SYS(io_uring_setup));
    pretend_missing(SCMP_SYS(io_uring_enter));
    pretend_missing(SCMP_SYS(io_uring_register));
}

/* Typing into, and pasting onto, a terminal that somebody else reads (CVE-2017-5226). */
static void refuse_terminal_injection(void)
{
    refuse_if(SCMP_SYS(ioctl), INT_IS(1, TIOCSTI_NUMBER));
    refuse_if(SCMP_SYS(ioctl), INT_IS(1, TIOCLINUX_NUMBER));
}

static void refuse_domain(enum scmp_compare comparison, scmp_datum_t domain)
{
    const struct scmp_arg_cmp one = SCMP_A0(comparison, domain);
    add(SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &one);
}

/*
 * Sockets but unix, IPv4, IPv6 and netlink: AF_ALG and AF_RXRPC wrote into page cache that vassals of one
 * distro share, AF_VSOCK reaches the hypervisor. Compared in full: what has upper bits is above the last.
 */
static void refuse_socket_domains(void)
{
    refuse_domain(SCMP_CMP_EQ, AF_UNSPEC);
    for (scmp_datum_t domain = AF_INET + 1; domain < AF_INET6; domain++)
        refuse_domain(SCMP_CMP_EQ, domain);
    for (scmp_datum_t domain = AF_INET6 + 1; domain < AF_NETLINK; domain++)
        refuse_domain(SCMP_CMP_EQ, domain);
    refuse_domain(SCMP_CMP_GT, AF_NETLINK);
}

/* Limits, nice value and scheduler of PID 1 may be changed by whoever has its uid. */
static void guard_init_scheduling(void)
{
    refuse_if(SCMP_SYS(prlimit64), INT_IS(0, INIT_PID));
    refuse_if_both(SCMP_SYS(setpriority), INT_IS(0, WHO_PROCESS), INT_IS(1, INIT_PID));
    /* init leads the group 1; whatever it starts has a session of its own. */
    refuse_if_both(SCMP_SYS(setpriority), INT_IS(0, WHO_GROUP), INT_IS(1, INIT_PID));
    refuse_if(SCMP_SYS(setpriority), INT_IS(0, WHO_USER));
    refuse_if_both(SCMP_SYS(ioprio_set), INT_IS(0, IOPRIO_PROCESS), INT_IS(1, INIT_PID));
    refuse_if_both(SCMP_SYS(ioprio_set), INT_IS(0, IOPRIO_GROUP), INT_IS(1, INIT_PID));
    refuse_if(SCMP_SYS(ioprio_set), INT_IS(0, IOPRIO_USER));
    static const int calls[] = {
        SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_setscheduler),
        SCMP_SYS(sched_setparam), SCMP_SYS(sched_setattr),
    };
    for (size_t i = 0; i < LENGTH(calls); i++)
        refuse_if(calls[i], INT_IS(0, INIT_PID));
}

/* init is not dumpable, which the kernel asks for in all of these; two locks are better than one. */
static void guard_init_memory(void)
{
    static const int calls[] = {
        SCMP_SYS(move_pages), SCMP_SYS(migrate_pages),
        SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
        /* Without a pidfd of init, what takes a pidfd cannot be aimed at it either. */
        SCMP_SYS(pidfd_open),
    };
    for (size_t i = 0; i < LENGTH(calls); i++)
        refuse_if(calls[i], INT_IS(0, INIT_PID));
    refuse_if(SCMP_SYS(ptrace), INT_IS(1, INIT_PID));
    refuse_if(SCMP_SYS(kcmp), INT_IS(0, INIT_PID));
    refuse_if(SCMP_SYS(kcmp), INT_IS(1, INIT_PID));
    /* The target is a descriptor, whose process a filter cannot know. */
    refuse(SCMP_SYS(process_madvise));
    refuse(SCMP_SYS(pidfd_getfd));
}

static void add_rules(void)
{
    refuse_mounts_and_namespaces();
    refuse_clone_of_namespaces();
    refuse_kernel_corners();
    refuse_terminal_injection();
    refuse_socket_domains();
    guard_init_scheduling();
    guard_init_memory();
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: seccomp-profile FILE\n");
        return 2;
    }
    filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter)
        fail("seccomp_init", ENOMEM);
    /* Another calling convention (i386, x32) has other numbers for the same calls, so all of it ends. */
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* A binary tree: a call costs a few comparisons instead of one for each rule. */
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error)
        fail("attributes", -error);
    add_rules();
    int file = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (file < 0)
        fail(argv[1], errno);
    error = seccomp_export_bpf(filter, file);
    if (error)
        fail("export", -error);
    seccomp_release(filter);
    return close(file) ? 1 : 0;
}
