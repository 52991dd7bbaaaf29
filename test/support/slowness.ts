/**
 * How many times more patience tests have than on a machine of our own: TEST_SLOWNESS, which scripts/test-v2.mjs sets for
 * the machine that it emulates. For deadlines, and never for what a test is about.
 */
const SLOWNESS = Number(process.env.TEST_SLOWNESS ?? 1);

/** The deadline here of what takes less than `ms` elsewhere. */
export function patienceMs(ms: number): number {
  return ms * SLOWNESS;
}
