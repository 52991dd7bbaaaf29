/*
 * Build-time tool: writes the system call filter of a vassal's processes as struct sock_filter[].
 * Usage: seccomp-profile PROFILE FILE. Linked with libseccomp; init only loads what this wrote.
 *
 * Two filters in one program. The first is the list of calls in PROFILE; its default is to refuse. What it
 * allows goes on to the second, which refuses by arguments; its default is to allow. (In one filter libseccomp
 * cannot say "allowed, unless".) init runs with its tenant's uid, so without the guards below
 * `prlimit --pid 1 --nofile=0` would cripple it (measured).
 *
 * Comparing arguments. A filter sees 64 bits, the kernel often uses the lower 32: comparing all of them
 * would let 0x100000001 pass for pid 1. So everything that is an int in C is compared masked.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/in.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <unistd.h>

#define INT_MASK 0xffffffffULL
#define INT_IS(argument, value) \
    SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, INT_MASK, (scmp_datum_t)(value))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define INIT_PID 1
#define TIOCSTI_NUMBER 0x5412
#define TIOCLINUX_NUMBER 0x541c
#define TIOCSETD_NUMBER 0x5423

/* linux/net.h: what is beside it in a type are flags. */
#define SOCK_TYPE_MASK 0xfULL

/* linux/ioprio.h and sys/resource.h: what a `who` is. */
#define WHO_PROCESS 0
#define WHO_GROUP 1
#define WHO_USER 2
#define IOPRIO_PROCESS 1
#define IOPRIO_GROUP 2
#define IOPRIO_USER 3

/* linux/prctl.h, since Linux 6.4 and 5.14. */
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif
#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#endif

#define MAX_CALLS 1024

/* Programs fall back on older calls when the kernel says ENOSYS, not when it says EPERM. */
#define UNLISTED SCMP_ACT_ERRNO(ENOSYS)

/* The one that rules are added to. */
static scmp_filter_ctx filter;

static void fail_by(const char *what, const char *why)
{
    fprintf(stderr, "Cannot make the system call filter: %s: %s\n", what, why);
    exit(1);
}

static void fail(const char *what, int error)
{
    fail_by(what, strerror(error));
}

/* Adds one rule; a call that this architecture does not have needs none. */
static void add(uint32_t action, int call, unsigned count, const struct scmp_arg_cmp *comparisons)
{
    int error = seccomp_rule_add_array(filter, action, call, count, comparisons);
    if (error && !(error == -EDOM && call < 0)) {
        char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
        fail(name ? name : "rule", -error);
    }
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

static void begin_filter(uint32_t default_action)
{
    filter = seccomp_init(default_action);
    if (!filter)
        fail("seccomp_init", ENOMEM);
    /* Another calling convention (i386, x32) has other numbers for the same calls, so all of it ends. */
    int error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    /* A binary tree: a call costs a few comparisons instead of one for each rule. */
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (error)
        fail("attributes", -error);
}

/* Compiles the filter to `program`, which has room for `room` instructions; returns their number. */
static size_t end_filter(struct sock_filter *program, size_t room)
{
    int file = memfd_create("filter", MFD_CLOEXEC);
    if (file < 0)
        fail("memfd_create", errno);
    int error = seccomp_export_bpf(filter, file);
    if (error)
        fail("export", -error);
    seccomp_release(filter);
    off_t bytes = lseek(file, 0, SEEK_END);
    if (bytes < 0 || (size_t)bytes > room * sizeof *program)
        fail("export", E2BIG);
    if (pread(file, program, (size_t)bytes, 0) != bytes)
        fail("export", EIO);
    close(file);
    return (size_t)bytes / sizeof *program;
}

/* NAME or NAME=NUMBER; a name that neither libseccomp nor the profile has a number for is a mistake. */
static int call_of(char *word)
{
    char *number = strchr(word, '=');
    if (number)
        *number++ = '\0';
    int call = seccomp_syscall_resolve_name(word);
    if (number && call == __NR_SCMP_ERROR)
        return atoi(number);
    if (call == __NR_SCMP_ERROR)
        fail_by(word, "no such system call; one that is newer than libseccomp needs its number");
    if (number && call != atoi(number))
        fail_by(word, "has another number");
    return call;
}

static uint32_t action_of(const char *word)
{
    if (strcmp(word, "allow") == 0)
        return SCMP_ACT_ALLOW;
    if (strcmp(word, "EPERM") == 0)
        return SCMP_ACT_ERRNO(EPERM);
    if (strcmp(word, "ENOSYS") == 0)
        return UNLISTED;
    fail_by(word, "no such action");
    return SCMP_ACT_KILL_PROCESS;
}

static void list_call(uint32_t action, char *word)
{
    static bool is_listed[MAX_CALLS];
    int call = call_of(word);
    if (call >= MAX_CALLS)
        fail(word, ERANGE);
    if (call >= 0 && is_listed[call])
        fail_by(word, "stands twice");
    if (call >= 0)
        is_listed[call] = true;
    /* What the default says needs no rule, and libseccomp takes none. */
    if (action != UNLISTED)
        add(action, call, 0, NULL);
}

static void list_calls(const char *path)
{
    FILE *profile = fopen(path, "re");
    if (!profile)
        fail(path, errno);
    char line[512];
    while (fgets(line, sizeof line, profile)) {
        if (!strchr(line, '\n'))
            fail_by(path, "a line is too long");
        char *word = strtok(line, " \n");
        if (!word || *word == '#')
            continue;
        uint32_t action = action_of(word);
        while ((word = strtok(NULL, " \n")))
            list_call(action, word);
    }
    if (ferror(profile))
        fail(path, EIO);
    fclose(profile);
}

/* Not those that make all memory executable or map page 0. gdb needs the one without randomized addresses. */
static void list_personalities(void)
{
    static const scmp_datum_t values[] = {
        0, 0x8 /* PER_LINUX32 */, 0x20000 /* UNAME26 */, 0x20008, 0x40000 /* ADDR_NO_RANDOMIZE */,
        0xffffffff /* asks which it is */,
    };
    for (size_t i = 0; i < LENGTH(values); i++) {
        const struct scmp_arg_cmp one = SCMP_A0(SCMP_CMP_MASKED_EQ, INT_MASK, values[i]);
        add(SCMP_ACT_ALLOW, SCMP_SYS(personality), 1, &one);
    }
}

/* clone() stays for threads and forks. */
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
}

/* Typing into, and pasting onto, a terminal that somebody else reads (CVE-2017-5226). */
static void refuse_terminal_injection(void)
{
    refuse_if(SCMP_SYS(ioctl), INT_IS(1, TIOCSTI_NUMBER));
    refuse_if(SCMP_SYS(ioctl), INT_IS(1, TIOCLINUX_NUMBER));
}

/* Each is a module that the kernel loads for anybody who asks for it (CVE-2017-2636, CVE-2023-6546). */
static void refuse_line_disciplines(void)
{
    refuse_if(SCMP_SYS(ioctl), INT_IS(1, TIOCSETD_NUMBER));
}

static void refuse_domain(enum scmp_compare comparison, scmp_datum_t domain)
{
    const struct scmp_arg_cmp one = SCMP_A0(comparison, domain);
    add(SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1, &one);
    add(SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socketpair), 1, &one);
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
    /* Of netlink, addresses and routes: the others (xfrm, netfilter, …) are for administrators. */
    const struct scmp_arg_cmp other[] = {
        SCMP_A0(SCMP_CMP_EQ, AF_NETLINK), SCMP_A2(SCMP_CMP_NE, NETLINK_ROUTE),
    };
    add(SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2, other);
}

/*
 * Of IPv4 and IPv6, TCP, UDP, ICMP and MPTCP. The others are modules that the kernel loads for anybody who asks
 * for them, as it does for domains (CVE-2017-6074, CVE-2021-3772, CVE-2022-4129).
 */
static void refuse_socket_protocols(void)
{
    static const scmp_datum_t domains[] = {AF_INET, AF_INET6};
    static const scmp_datum_t protocols[] = {IPPROTO_DCCP, IPPROTO_L2TP, IPPROTO_SCTP, IPPROTO_UDPLITE};
    for (size_t i = 0; i < LENGTH(domains); i++) {
        for (size_t j = 0; j < LENGTH(protocols); j++) {
            const struct scmp_arg_cmp by_number[] = {INT_IS(0, domains[i]), INT_IS(2, protocols[j])};
            add(SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2, by_number);
        }
        /* By its type alone it is found, too. */
        const struct scmp_arg_cmp by_type[] = {
            INT_IS(0, domains[i]), SCMP_A1(SCMP_CMP_MASKED_EQ, SOCK_TYPE_MASK, SOCK_DCCP),
        };
        add(SCMP_ACT_ERRNO(EPROTONOSUPPORT), SCMP_SYS(socket), 2, by_type);
    }
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
        SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
        /* Without a pidfd of init, what takes a pidfd cannot be aimed at it either. */
        SCMP_SYS(pidfd_open),
    };
    for (size_t i = 0; i < LENGTH(calls); i++)
        refuse_if(calls[i], INT_IS(0, INIT_PID));
    refuse_if(SCMP_SYS(ptrace), INT_IS(1, INIT_PID));
}

/*
 * Of all limits of core dumps 1 alone keeps the kernel from giving a crash to the host's root (core_pattern), and anybody
 * may lower a limit. Who asks is told that it was done: ssh-agent and others end where they cannot forbid dumps.
 */
static void keep_core_limit(void)
{
    const struct scmp_arg_cmp set = INT_IS(0, RLIMIT_CORE);
    add(SCMP_ACT_ERRNO(0), SCMP_SYS(setrlimit), 1, &set);
    const struct scmp_arg_cmp set_or_get[] = {INT_IS(1, RLIMIT_CORE), SCMP_A2(SCMP_CMP_NE, 0)};
    add(SCMP_ACT_ERRNO(0), SCMP_SYS(prlimit64), 2, set_or_get);
}

/* Who has a page in common with another can measure it: that is the operator's choice (`ksm`). */
static void refuse_merging(void)
{
    refuse_if(SCMP_SYS(prctl), INT_IS(0, PR_SET_MEMORY_MERGE));
    /* As a kernel without it says. */
    const struct scmp_arg_cmp mergeable = INT_IS(2, MADV_MERGEABLE);
    add(SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(madvise), 1, &mergeable);
}

/*
 * Programs for sockets. What the kernel compiles them to counts in no cgroup, and is bounded for the whole machine
 * (net.core.bpf_jit_limit): 2,700 sockets of one process have all of it (measured), and then no process of any
 * vassal can be given this filter.
 */
static void refuse_socket_programs(void)
{
    static const int options[] = {SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF, SO_ATTACH_REUSEPORT_EBPF};
    for (size_t i = 0; i < LENGTH(options); i++)
        refuse_if_both(SCMP_SYS(setsockopt), INT_IS(1, SOL_SOCKET), INT_IS(2, options[i]));
}

/*
 * Filters of a tenant's own are compiled into the same memory: 0.3 MB for each thread, so a few vassals' processes have all of it.
 * A kernel without them says EINVAL, on which programs go on without (docs/decisions/0028).
 */
static void refuse_own_filters(void)
{
    const struct scmp_arg_cmp by_call = INT_IS(0, SECCOMP_SET_MODE_FILTER);
    add(SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(seccomp), 1, &by_call);
    const struct scmp_arg_cmp by_prctl[] = {INT_IS(0, PR_SET_SECCOMP), INT_IS(1, SECCOMP_MODE_FILTER)};
    add(SCMP_ACT_ERRNO(EINVAL), SCMP_SYS(prctl), 2, by_prctl);
}

/*
 * What no limit counts. Huge pages are the host's own reserve, outside of `memory-max`. A process that lets nobody run beside
 * it on its core (core scheduling) has the other half of that for nothing, outside of `cpu-max`.
 */
static void refuse_uncounted(void)
{
    refuse_if(SCMP_SYS(mmap), SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_HUGETLB, MAP_HUGETLB));
    refuse_if(SCMP_SYS(memfd_create), SCMP_A1(SCMP_CMP_MASKED_EQ, MFD_HUGETLB, MFD_HUGETLB));
    refuse_if(SCMP_SYS(shmget), SCMP_A2(SCMP_CMP_MASKED_EQ, SHM_HUGETLB, SHM_HUGETLB));
    refuse_if(SCMP_SYS(prctl), INT_IS(0, PR_SCHED_CORE));
}

static void refuse_by_arguments(void)
{
    refuse_uncounted();
    refuse_socket_programs();
    refuse_own_filters();
    refuse_merging();
    keep_core_limit();
    refuse_clone_of_namespaces();
    refuse_terminal_injection();
    refuse_line_disciplines();
    refuse_socket_domains();
    refuse_socket_protocols();
    guard_init_scheduling();
    guard_init_memory();
}

/* Has what the list of `length` instructions allows go on to what stands behind it. */
static void go_on(struct sock_filter *list, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (list[i].code == (BPF_RET | BPF_K) && list[i].k == SECCOMP_RET_ALLOW)
            list[i] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, (uint32_t)(length - i - 1));
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: seccomp-profile PROFILE FILE\n");
        return 2;
    }
    static struct sock_filter program[BPF_MAXINSNS];
    begin_filter(UNLISTED);
    list_calls(argv[1]);
    list_personalities();
    size_t length = end_filter(program, LENGTH(program));
    go_on(program, length);
    begin_filter(SCMP_ACT_ALLOW);
    refuse_by_arguments();
    length += end_filter(program + length, LENGTH(program) - length);

    int file = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    size_t bytes = length * sizeof *program;
    if (file < 0 || write(file, program, bytes) != (ssize_t)bytes || close(file))
        fail(argv[2], errno);
    return 0;
}
