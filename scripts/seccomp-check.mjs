// Loads a system call filter that allows everything, and ends. For test.mjs, which looks whether it ends: there are
// kernels that hang for good once some thousand filters were freed at once, and load none from then on.
import koffi from 'koffi';

/** linux/prctl.h, linux/seccomp.h, linux/bpf_common.h. */
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_SECCOMP = 22;
const SECCOMP_MODE_FILTER = 2;
const BPF_RET = 6;
const SECCOMP_RET_ALLOW = 0x7fff0000;

const instruction = Buffer.alloc(8);
instruction.writeUInt16LE(BPF_RET, 0);
instruction.writeUInt32LE(SECCOMP_RET_ALLOW, 4);
koffi.struct('sock_fprog', { len: 'uint16', filter: 'void *' });
const prctl = koffi
  .load(null)
  .func('int prctl(int option, ulong arg2, sock_fprog *arg3, ulong arg4, ulong arg5)');
prctl(PR_SET_NO_NEW_PRIVS, 1, null, 0, 0);
const result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, { len: 1, filter: instruction }, 0, 0);
// A kernel that refuses at once does not hang; the tests that need the filter will say the rest.
if (result !== 0) console.log(`This kernel refuses a system call filter: errno ${koffi.errno()}`);
