/**
 * The words that emperor, launcher, init and attach exchange: one table for TypeScript and C. `npm run
 * build` turns it into build/native/wire.h (jail/generate-header.ts), so the two sides cannot drift.
 *
 * Frame: u32 length of what follows | u16 verb | u16 reserved (0) | u32 id | fields; all little-endian.
 * Field: u16 tag | u16 reserved (0) | u32 length | bytes. Numbers are 8-byte little-endian, strings are
 * UTF-8 without NUL. Unknown tags are skipped, so that both sides may learn new fields; a verb that is
 * not known is answered by ERROR. The id of an answer is that of its request; events have id 0.
 * A frame is at most MAX_FRAME bytes.
 */

/** Bumped only for a change that old inits could not understand. */
export const PROTOCOL_VERSION = 1;
export const MAX_FRAME = 256 * 1024;

/** Requests are below 64, answers from 64, events from 96. */
export const VERB = {
  // both
  HELLO: 1, // → WELCOME
  // launcher
  LAUNCH: 2, // NAME PLAN → LAUNCHED at the gate, or ERROR (STEP ERRNO DETAIL)
  LIST: 3, // NUMBER → LISTED with one ENTRY a child (launcher) or slot (init), and NUMBER if there are more
  ACK: 4, // PID (launcher) or SLOT (init): the exit has been noted, forget it → OK
  PUT: 5, // NAME + one descriptor → OK
  GET: 6, // NAME → OK + the descriptor
  DROP: 7, // NAME → OK
  QUIT: 8, // launcher ends; vassals stay → OK
  // init
  GO: 16, // pivot, drop, run → OK or ERROR (STEP ERRNO DETAIL), then init ends
  META: 17, // GENERATION HASH: what HELLO reports from now on → OK
  START: 18, // SLOT KIND LABEL ARG… ENV… CWD STDIO INPUT NOTIFY WATCHDOG_MS → STARTED or ERROR
  SIGNAL: 19, // SLOT SIGNAL → OK
  RESIZE: 20, // SLOT ROWS COLUMNS → OK
  STOP: 21, // GRACE_MS SIGNAL: end everything, then init itself → OK, then EOF
  FETCH: 22, // → OK NAME + the descriptor of the tun of that name; ERROR ENOENT without one
  ADOPT: 26, // SLOT KIND LABEL SOURCE (a pid file inside): that child takes the slot → STARTED or ERROR
  LOOK: 27, // SOURCE, a path inside → OK NUMBER (its modification, ns since 1970) or ERROR
  // UID CWD ARG ENV… + a listening socket: whoever connects there with that uid may START sessions of the shell
  // ARG, and nothing else. Without UID: there is no door any more → OK
  DOOR: 28,
  // SOURCE, the home: the customer's crontab in it, whose next change is told → OK BYTES; ERROR: EINVAL no regular file,
  // EPERM of another user, EFBIG, or what open(2) says
  CRONTAB: 29,
  NOTE: 30, // LABEL TEXT…: lines for the vassal's own log → OK
  // answers
  OK: 64,
  ERROR: 65,
  WELCOME: 66,
  LAUNCHED: 67, // PID START_TIME
  LISTED: 68,
  STARTED: 69, // SLOT PID (+ descriptors for STDIO pipes: stdin, stdout, stderr; for tty: the master)
  // events
  EXITED: 96, // launcher: NAME PID STATUS …; init: SLOT KIND LABEL PID STATUS …
  NOTICED: 100, // SLOT READY: 1, it says that it is ready; 0, it was silent for its watchdog's time (told again each time)
  CRONTAB_CHANGED: 101, // the crontab may say something else; told once for each CRONTAB
} as const;

export const TAG = {
  VERSION: 1,
  NAME: 2,
  PID: 3, // launcher: numbering of the launcher's namespace; init: of the vassal
  START_TIME: 4, // field 22 of /proc/PID/stat, clock ticks since boot
  BOOT_ID: 5,
  GENERATION: 6,
  HASH: 7,
  STATE: 8, // see STATE
  PLAN: 9, // encoded steps, see jail/encode.ts
  STEP: 10, // index of the failed step
  ERRNO: 11,
  DETAIL: 12, // text: the path or command concerned
  ENTRY: 13, // nested fields
  STATUS: 14, // as waitpid() gives it
  UTIME_US: 15,
  STIME_US: 16,
  MAXRSS_KB: 17,
  SLOT: 18,
  KIND: 19,
  LABEL: 20,
  ARG: 21,
  ENV: 22,
  CWD: 23,
  STDIO: 24, // see STDIO
  SIGNAL: 25,
  ROWS: 26,
  COLUMNS: 27,
  GRACE_MS: 28,
  TIME_MS: 29, // wall clock, ms since 1970: when it started or ended
  OP: 30, // see OP; inside PLAN each ENTRY is one step
  TEXT: 31,
  TARGET: 32,
  SOURCE: 33,
  NUMBER: 34,
  MODE: 35,
  FLAGS: 36,
  LENGTH: 37,
  COUNT: 38,
  UID: 39,
  GID: 40,
  BYTES: 41,
  SUBSCRIBE: 43, // HELLO: 1 = send me events
  // The addresses of the tun with their prefixes, `192.168.0.2/24`; in WELCOME as read from the interface.
  ADDRESS: 44,
  ADDRESS6: 45,
  GATEWAY: 46, // without prefix
  GATEWAY6: 47,
  NOTIFY: 52, // see NOTIFY
  WATCHDOG_MS: 53, // as long it may be silent; missing: for ever
  READY: 54, // in an ENTRY of LISTED: 1, it has said so
  INPUT: 55, // with STDIO LOG: what it reads from stdin, at most 4096 bytes; missing: nothing
  TERMINAL: 60, // START with a TTY: struct termios, how the caller's own terminal is set
} as const;

/** How a started process gets its stdin, stdout and stderr. */
export const STDIO = {
  LOG: 0, // stdin /dev/null, or INPUT; stdout, stderr to the vassal's log under LABEL
  PIPES: 1, // three pipes, whose other ends go with STARTED
  TTY: 2, // a new pty of the vassal's devpts, whose master goes with STARTED
} as const;

/** How a started process says that it is ready. With a watchdog it has the socket in any case. */
export const NOTIFY = {
  NONE: 0,
  SOCKET: 1, // READY=1 as a datagram to $NOTIFY_SOCKET (sd_notify(3))
  FD: 2, // a line end on descriptor 3
} as const;

/** State of an init or of a slot. */
export const STATE = { GATE: 0, RUNNING: 1, STOPPING: 2, ENDED: 3 } as const;

/** The steps of a jail plan. The comment names the fields of the ENTRY. */
export const OP = {
  LOCK: 1, // SOURCE file: flock, held for life; a second init of that name fails here
  CGROUP: 2, // SOURCE and TARGET the files by which init and payload join, UID GID
  LOG: 3, // SOURCE directory, UID GID, LENGTH max bytes a file, COUNT files
  LISTEN: 4, // SOURCE path of init.sock
  PRIVATE: 5, // all mounts private
  ROOT: 6, // SOURCE distro directory: cloned read-only as the new root
  PROC: 7, // TARGET, NUMBER 1: hides the processes of others
  TMPFS: 8, // TARGET, LENGTH bytes, COUNT inodes, MODE, FLAGS
  DEVPTS: 9, // TARGET, COUNT max ptys
  MQUEUE: 10, // TARGET
  DEVICE: 11, // TARGET, MODE, NUMBER (major << 8 | minor)
  DIRECTORY: 12, // TARGET, MODE: made in a tmpfs of ours
  FILE: 13, // TARGET, MODE, BYTES: made in a tmpfs of ours
  SYMLINK: 14, // TARGET, TEXT
  BIND: 15, // SOURCE on the host, TARGET, FLAGS
  BIND_INSIDE: 16, // SOURCE and TARGET inside the new root, FLAGS
  MASK: 17, // TARGET: hidden if it is there
  READ_ONLY: 18, // TARGET: bound on itself read-only if it is there
  HOSTNAME: 19, // TEXT
  SYSCTL: 20, // TARGET below /proc/sys, TEXT
  LOOPBACK: 21, // lo up
  HOME: 22, // SOURCE directory, UID GID: made and chowned if it is not there
  HOOK: 23, // TEXT command, LENGTH time limit in ms
  SWEEP: 24, // kill and reap whatever hooks left running
  GATE: 25, // LENGTH ms to wait for GO
  PIVOT: 26, // the new root becomes /, the old one is gone
  RLIMIT: 27, // NUMBER resource, LENGTH soft, COUNT hard
  DROP: 28, // UID GID: groups, capabilities, no_new_privs, not dumpable
  SECCOMP: 29, // BYTES: struct sock_filter[], put on everything that is started
  TUN: 30, // TARGET interface, LENGTH MTU, COUNT packets in its queue: made, for FETCH to hand out
  ADDRESS: 31, // ADDRESS GATEWAY ADDRESS6 GATEWAY6 if missing, FLAGS (see EXACT): tun up, read back
  JOIN: 32, // SOURCE the file by which init joins, and with it all that it starts: of a controller of cgroup v1
  IMAGE: 33, // SOURCE image, TARGET directory of the host that it is mounted on, UID GID: whose it is, once
  MERGE: 34, // equal memory of all that is started may be kept once; nothing where the kernel cannot
} as const;

/** FLAGS of TMPFS, BIND and BIND_INSIDE: MOUNT_ATTR_* of mount_setattr(2). */
export const MOUNT = {
  READ_ONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
} as const;

/** FLAGS of ADDRESS: where hooks that set another address contradict the plan. */
export const EXACT = { ADDRESS: 1, ADDRESS6: 2 } as const;

/** FLAGS of LAUNCH: which namespaces are new. */
export const NAMESPACE = { fs: 1, ipc: 2, uts: 4, net: 8, pid: 16, cgroup: 32 } as const;
export type NamespaceName = keyof typeof NAMESPACE;
