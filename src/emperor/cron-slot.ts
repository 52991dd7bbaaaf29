/**
 * The slot of a job's run in init: job and minute make its number, so that a repeated start of the same run is the same
 * slot, which init does not start again. The command's slots count from 1, and daemons' begin with other bits. Pure.
 */
/** The two highest bits; what daemons' slots begin with has both. */
const MARK = 1n << 63n;
/** Enough minutes since 1970 for two centuries. */
const MINUTE_BITS = 27;
const MINUTES = 2 ** MINUTE_BITS;

export interface RunId {
  /** Of the job. */
  readonly key: number;
  /** Since 1970. */
  readonly minute: number;
}

export function slotOf({ key, minute }: RunId): bigint {
  const inMinutes = BigInt(((minute % MINUTES) + MINUTES) % MINUTES);
  return MARK | (BigInt(key) << BigInt(MINUTE_BITS)) | inMinutes;
}

/** Returns undefined for a slot that is none of ours. */
export function runOfSlot(slot: bigint): RunId | undefined {
  if (slot >> 62n !== 0b10n) return undefined;
  const key = Number((slot - MARK) >> BigInt(MINUTE_BITS));
  return { key, minute: Number(slot & BigInt(MINUTES - 1)) };
}
