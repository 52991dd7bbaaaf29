/** The version of emperor, once for the daemon and the CLI. */
export const VERSION = '0.1.0';
