/** Flags of open(2) that Node has no names for: include/uapi/asm-generic/fcntl.h; same on x86_64 and arm64. */

/** Only the place is wanted; needs no right to read it. */
export const O_PATH = 0o10000000;
export const O_CLOEXEC = 0o2000000;
