import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { patienceMs } from './test/support/slowness.ts';

const WORKERS = Math.max(2, availableParallelism() + 1);

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          maxWorkers: '100%',
          // Files share a process and its modules, which halves the cpu; what a test changes of either, it puts back.
          isolate: false,
          // Properties take ten seconds and more where others use the machine, too.
          testTimeout: patienceMs(60_000),
        },
      },
      {
        test: {
          name: 'kernel',
          include: ['test/{kernel,security,e2e,chaos}/**/*.test.ts'],
          setupFiles: ['test/support/alarm-clock.ts'],
          // Each file has namespaces, cgroups and directories of its own, and mostly waits.
          maxWorkers: WORKERS,
          testTimeout: patienceMs(60_000),
          hookTimeout: patienceMs(60_000),
        },
      },
    ],
  },
});
