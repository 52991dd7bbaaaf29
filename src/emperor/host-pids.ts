/** Which pid on the host a pid inside a vassal is. Read only when somebody asks for one vassal's status. */
import { readProc } from '../linux/proc.ts';

/** Maps the innermost pid of each of `hostPids` to itself; processes that ended meanwhile are left out. */
export function hostPidsOf(hostPids: readonly number[]): ReadonlyMap<number, number> {
  const map = new Map<number, number>();
  for (const pid of hostPids) {
    const inner = innermostPid(readProc(`/proc/${pid}/status`) ?? '');
    if (inner !== undefined) map.set(inner, pid);
  }
  return map;
}

/** The last number of the NSpid line of /proc/PID/status, proc_pid_status(5). Pure. */
export function innermostPid(status: string): number | undefined {
  const line = /^NSpid:\s*([\d\s]*\d)$/m.exec(status)?.[1];
  const last = line?.split(/\s+/).at(-1);
  return last === undefined ? undefined : Number(last);
}
