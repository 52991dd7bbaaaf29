/** The one key that a command must know to reach the daemon; apart, so that no table need be loaded for it. */
export const RUN_DIRECTORY = { name: 'run-dir', default: '/run/emperor' } as const;
